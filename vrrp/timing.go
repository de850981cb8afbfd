package vrrp

import "time"

// skewTime spreads the candidates: the higher the priority, the sooner. Version 3 scales with the MASTER's interval
// (RFC 9568, Section 6.1), version 2 with one second (RFC 3768, Section 6.1). It is finer than a centisecond.
func skewTime(version, priority uint8, interval time.Duration) time.Duration {
	if version == 2 {
		interval = time.Second
	}
	return time.Duration(256-int(priority)) * interval / 256
}

// masterDownInterval is how long a BACKUP waits for an advert before it takes over, when so many adverts may be missing.
func masterDownInterval(version, priority uint8, adverts int, interval time.Duration) time.Duration {
	return time.Duration(adverts)*interval + skewTime(version, priority, interval)
}

// expiredInterval is after how long without own adverts a MASTER can be sure that the best of the others, of that priority,
// has taken over.
func expiredInterval(version, best uint8, interval time.Duration) time.Duration {
	return masterDownInterval(version, best, 3, interval)
}
