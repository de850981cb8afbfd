package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a program and all its descendants have cost.
type Usage struct {
	// CPU is the time used so far, in steps of 10 ms. That of descendants which have ended is not in it.
	CPU time.Duration
	// Memory is what is resident now, in bytes; what they share counts once for each.
	Memory int64
}

// Usage looks at a program that runs.
func (p *Process) Usage() (u Usage, err error) { return usageOf(p.cmd.Process.Pid) }

func usageOf(pid int) (u Usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 22 {
		return u, fmt.Errorf("lab: /proc/%d/stat: %q", pid, stat)
	}
	const tick = 10 * time.Millisecond // USER_HZ
	u.CPU = time.Duration(number(fields[11])+number(fields[12])) * tick
	u.Memory = number(fields[21]) * int64(os.Getpagesize())
	for _, child := range children(pid) {
		if c, err := usageOf(child); err == nil { // else it has just ended
			u.CPU += c.CPU
			u.Memory += c.Memory
		}
	}
	return u, nil
}

func number(field string) int64 {
	n, _ := strconv.ParseInt(field, 10, 64)
	return n
}

func children(pid int) (list []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for _, field := range strings.Fields(string(text)) {
			list = append(list, int(number(field)))
		}
	}
	return list
}
