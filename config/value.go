package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// value is what a statement's first value was read as, by the type of its keyword. For an optional value that is missing,
// set is false, and flag is true.
type value struct {
	set    bool
	number int64
	time   time.Duration
	flag   bool
	text   string
	addr   netip.Addr
	script []string
}

// read reads a statement's value by the type of its keyword, or says what is wrong with it.
func (d *decoder) read(k *Keyword, n *Node) (v value, ok bool) {
	values := n.Values()
	if k.Type == "none" || k.Type == "special" || k.Type == "name" {
		v.flag = true
		return v, true
	}
	if k.Type == "bool" {
		v.set = len(values) > 0
		v.flag, ok = d.boolean(n)
		return v, ok
	}
	if len(values) == 0 {
		v.flag = true
		return v, k.optional
	}
	v.set, v.flag = true, true
	w := values[0]
	switch k.Type {
	case "uint", "int":
		v.number, ok = d.integer(w, int64(k.Low), int64(k.High))
		if ok && v.number == 0 && raised[k.Name] {
			d.warnf(w.Pos, "raised", "", "%s: 0 is read as 1", k.Name)
			v.number = 1
		}
	case "uints":
		for _, w := range values {
			if v.number, ok = d.integer(w, int64(k.Low), int64(k.High)); !ok {
				return v, false
			}
		}
	case "secs":
		v.time, ok = d.timer(w, k.Low, k.High, "seconds", 6, time.Second)
		if ok && v.time == 0 && k.Path() == "vrrp_script/interval" {
			d.warnf(w.Pos, "raised", "", "interval: 0 is read as 1")
			v.time = time.Second
		}
	case "millis":
		v.time, ok = d.timer(w, k.Low, k.High, "milliseconds", 3, time.Millisecond)
	case "addr":
		v.addr, ok = d.address(w)
	case "word":
		v.text, ok = d.oneOf(w, k.Words)
	case "iword":
		v.text, ok = d.oneOf(Word{w.Pos, strings.ToUpper(w.Text), w.Quoted}, k.Words)
	case "script":
		v.script, ok = d.scriptWords(n)
	case "one":
		if v.text, ok = w.Text, len(values) == 1; !ok {
			d.errorf(values[1].Pos, "extra-value", "quote it if it is one text", "%s takes one word", k.Name)
		}
	case "hex", "hexmask":
		ok = d.hex(values, k.Type == "hexmask")
	default: // text, words
		v.text, ok = w.Text, true
	}
	return v, ok
}

// raised are the counts and times of which 0 means 1, with a remark.
var raised = map[string]bool{
	"garp_master_repeat": true, "garp_master_refresh_repeat": true, "vrrp_garp_master_repeat": true,
	"vrrp_garp_master_refresh_repeat": true, "smtp_connect_timeout": true, "timeout": true,
}

func (d *decoder) bad(w Word, format string, args ...any) {
	d.errorf(w.Pos, "bad-value", "", "%s: %s is not %s", d.keyword, quoted(w.Text), fmt.Sprintf(format, args...))
}

// integer reads a decimal number, which may have a + before it; a quoted one may have blanks there.
func (d *decoder) integer(w Word, low, high int64) (int64, bool) {
	text := strings.TrimPrefix(strings.TrimLeft(w.Text, " \t"), "+")
	if text == "" && w.Quoted {
		text = "0"
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < low || v > high {
		d.bad(w, "a number from %d to %d", low, high)
		return 0, false
	}
	return v, true
}

// timer reads a decimal time without unit. More digits than there can be are rounded, with a warning.
func (d *decoder) timer(w Word, low, high float64, unit string, digits int, scale time.Duration) (time.Duration, bool) {
	text := strings.TrimPrefix(strings.TrimLeft(w.Text, " \t"), "+")
	whole, fraction, _ := strings.Cut(text, ".")
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !digitsOnly(whole) || !digitsOnly(fraction) || v < low || v > high {
		d.bad(w, "a time of %s to %s %s (no unit, up to %d decimals)", decimal(low), decimal(high), unit, digits)
		return 0, false
	}
	if len(fraction) > digits {
		d.warnf(w.Pos, "rounded", "", "%s: %s has more than %d decimals; it is rounded", d.keyword, quoted(w.Text), digits)
	}
	return time.Duration(v*float64(scale/time.Microsecond)+0.5) * time.Microsecond, true
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func digitsOnly(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

func (d *decoder) boolean(n *Node) (bool, bool) {
	if len(n.Values()) == 0 {
		return true, true
	}
	switch w := n.Words[1]; w.Text {
	case "on", "true", "yes":
		return true, true
	case "off", "false", "no":
		return false, true
	default:
		d.bad(w, "on, true, yes, off, false or no")
		return false, false
	}
}

// address reads a numeric address. What follows a - or / is cut off, as keepalived does.
func (d *decoder) address(w Word) (netip.Addr, bool) {
	text := w.Text
	if i := strings.IndexAny(text, "-/"); i >= 0 {
		text = text[:i]
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		d.bad(w, "an IP address")
		return a, false
	}
	return a, true
}

// addressPort reads ADDR [PORT] from the given words. A port of zeros means none.
func (d *decoder) addressPort(words []Word) (netip.AddrPort, bool) {
	a, ok := d.address(words[0])
	if !ok || len(words) == 1 || strings.Trim(words[1].Text, "0") == "" {
		return netip.AddrPortFrom(a, 0), ok
	}
	port, ok := d.integer(words[1], 1, 65535)
	return netip.AddrPortFrom(a, uint16(port)), ok
}

// prefix reads an address that may have a prefix length; without, it is the whole address.
func (d *decoder) prefix(w Word) (netip.Prefix, bool) {
	addr, mask, cut := strings.Cut(w.Text, "/")
	a, err := netip.ParseAddr(addr)
	if err == nil && a.Zone() == "" {
		if !cut {
			return netip.PrefixFrom(a, a.BitLen()), true
		}
		if bits, err := strconv.Atoi(mask); err == nil && bits >= 0 && bits <= a.BitLen() {
			return netip.PrefixFrom(a, bits), true
		}
	}
	d.bad(w, "an IP address, with or without a prefix length")
	return netip.Prefix{}, false
}

func (d *decoder) oneOf(w Word, words []string) (string, bool) {
	for _, known := range words {
		if w.Text == known {
			return known, true
		}
	}
	hint := ""
	for _, known := range words {
		if editDistance(strings.ToUpper(w.Text), strings.ToUpper(known)) <= 1 {
			hint = "did you mean " + known + "?"
		}
	}
	d.errorf(w.Pos, "bad-value", hint, "%s: %s is not one of %s", d.keyword, quoted(w.Text), strings.Join(words, ", "))
	return "", false
}

// scriptWords splits the raw text of a statement as a command: both kinds of quotes, which glue, and backslashes. The first
// word of the result is the command with its own arguments still inside.
func (d *decoder) scriptWords(n *Node) ([]string, bool) {
	raw := strings.TrimLeft(strings.TrimPrefix(n.Raw, n.Words[0].Text), " \t")
	words, err := splitQuoted(raw)
	if err != nil {
		d.errorf(n.Words[1].Pos, "unterminated-quote", "close the quote", "%s: %v", d.keyword, err)
		return nil, false
	}
	return words, true
}

// splitQuoted splits at blanks outside of quotes.
func splitQuoted(text string) (words []string, err error) {
	var word strings.Builder
	var quote byte
	inWord := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			word.WriteByte(c)
			word.WriteByte(text[i])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		case quote == 0 && isBlank(c):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	if quote != 0 {
		return words, fmt.Errorf("the quote %c is not closed", quote)
	}
	return words, nil
}

// arguments splits the first word of a script statement into a program and its arguments, and decodes its escapes: \a \b \E \f
// \n \r \t \v, \NNN octal, \xHH; any other character after a backslash stands for itself.
func arguments(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	parts, err := splitQuoted(words[0])
	if err != nil {
		return words[:1]
	}
	for i := range parts {
		parts[i] = unescape(parts[i])
	}
	return parts
}

var escapes = map[byte]byte{'a': '\a', 'b': '\b', 'E': 0x1b, 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

func unescape(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		code, length := numericEscape(text[i:])
		switch plain, known := escapes[text[i]]; {
		case length > 0:
			b.WriteByte(code)
			i += length - 1
		case known:
			b.WriteByte(plain)
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// numericEscape reads up to three octal digits, or x and up to two hexadecimal ones.
func numericEscape(text string) (code byte, length int) {
	digits, base, start := 3, 8, 0
	if text[0] == 'x' {
		digits, base, start = 2, 16, 1
	}
	for n := digits; n > 0; n-- {
		if end := start + n; end <= len(text) {
			if v, err := strconv.ParseUint(text[start:end], base, 8); err == nil && text[start] != '+' {
				return byte(v), end
			}
		}
	}
	return 0, 0
}

// userGroup reads USER [[:]GROUP]. The colon says that the groups that USER is in count too.
func userGroup(n *Node) (user, group string, groups bool) {
	user = n.Words[1].Text
	for _, w := range n.Words[2:] {
		groups = groups || strings.HasPrefix(w.Text, ":")
		group += strings.TrimPrefix(w.Text, ":")
	}
	return user, group, groups
}

// octets reads hexadecimal octets. Of an x the mask has no bits.
func octets(words []Word) (data, mask []byte) {
	for _, w := range words {
		for _, octet := range strings.Fields(w.Text) {
			for len(octet) > 0 {
				n := min(len(octet), 2)
				d, m := nibbles(octet[:n])
				data, mask, octet = append(data, d), append(mask, m), octet[n:]
			}
		}
	}
	return data, mask
}

// nibbles reads one or two hexadecimal digits.
func nibbles(text string) (data, mask byte) {
	for i := range len(text) {
		v, err := strconv.ParseUint(text[i:i+1], 16, 8)
		data, mask = data<<4|byte(v), mask<<4
		if err == nil {
			mask |= 0xf
		}
	}
	if len(text) == 1 {
		mask |= 0xf0
	}
	return data, mask
}

func (d *decoder) hex(words []Word, wild bool) bool {
	allowed := "0123456789abcdefABCDEF"
	if wild {
		allowed += "xX"
	}
	for _, w := range words {
		if strings.Trim(w.Text, allowed+" \t") != "" {
			d.bad(w, "hexadecimal octets")
			return false
		}
	}
	return true
}
