package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/internal/filewatch"
)

// File reads a number from a file that others write: FILE_CHECK and track_file. It is a [Watcher]: what is written is known
// at once.
//
// The number stands at the beginning of the file, decimal, hexadecimal (0x) or octal (0), with a sign if need be. A file that
// is not there, is empty or has no number counts as 0. A number that does not fit into 32 bits is left out of account, and
// logged.
type File struct {
	Path string
	// Weight is what the number is multiplied with; the product is added to the weight of the server, or to the priority.
	// 0 makes it a matter of well or not: any number but 0 is not.
	Weight int
	// Reverse changes the sign of the product; with Weight 0, the number 0 is not well.
	Reverse bool
	// Range is the most that the product adds. A product below -Range is not well. 0 means 2147483647; priorities have 253.
	Range int
}

// Check implements [Checker].
func (f File) Check(ctx context.Context) error {
	_, err := f.Report(ctx)
	return err
}

// Report implements [Reporter].
func (f File) Report(ctx context.Context) (Report, error) {
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	report, _, err := f.look()
	return report, err
}

// look reads and judges the file, and says whether it is there and has nothing in it.
func (f File) look() (report Report, empty bool, err error) {
	n, detail, err := readNumber(f.Path)
	if err != nil {
		return Report{}, false, err
	}
	report, err = f.judge(n, detail)
	return report, detail == isEmpty, err
}

func (f File) judge(n int, detail string) (Report, error) {
	most := f.Range
	if most == 0 {
		most = math.MaxInt32
	}
	product := int64(n) * int64(f.Weight)
	if f.Reverse {
		product = -product
	}
	switch {
	case f.Weight == 0 && (n != 0) != f.Reverse:
		return Report{}, fmt.Errorf("%s: %s", f.Path, detail)
	case f.Weight == 0:
		return Report{Detail: f.Path + ": " + detail}, nil
	case product < -int64(most):
		return Report{}, fmt.Errorf("%s: %s, which makes %d: below %d", f.Path, detail, product, -most)
	}
	return Report{Weight: Offset(int(min(product, int64(most)))), Detail: f.Path + ": " + detail}, nil
}

// pollInterval is the time between looks at what the system does not tell of.
const pollInterval = time.Second

// Watch implements [Watcher].
func (f File) Watch(ctx context.Context, tell func(Report, error)) error {
	events, err := filewatch.New(f.Path)
	if err != nil {
		events = nil // it is looked at again and again
	}
	defer func() { events.Close() }()
	var last Report
	var lastErr error
	for told, settled := false, true; ; {
		now, empty, nowErr := f.look()
		if ctx.Err() != nil {
			return nil
		}
		news := !told || now != last || fmt.Sprint(nowErr) != fmt.Sprint(lastErr)
		if news && (settled || !empty) {
			tell(now, nowErr)
			told, last, lastErr = true, now, nowErr
		}
		if !wait(ctx, events, empty && !settled) {
			return nil
		}
		settled = true                       // who wrote the file has closed it
		if events == nil || events.Stale() { // the file moved, or its directory did, or there is one now
			events.Close()
			events, _ = filewatch.New(f.Path)
			settled = empty // one that was just made may be about to be written
		}
	}
}

// wait waits until there is something to look at: where the system tells of it and not only briefly, as long as that takes.
func wait(ctx context.Context, events *filewatch.Watch, briefly bool) bool {
	var told <-chan struct{}
	var over <-chan time.Time
	if events != nil {
		told = events.C
	}
	if events == nil || briefly {
		timer := time.NewTimer(pollInterval)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-told:
	case <-over:
	case <-ctx.Done():
		return false
	}
	return true
}

// isEmpty is what there is to say of a file without content.
const isEmpty = "0, for it is empty"

// readNumber reads the number at the beginning of a file, and says in a few words what it found.
func readNumber(path string) (n int, detail string, err error) {
	file, err := os.Open(path)
	if err != nil {
		if pathErr, ok := errors.AsType[*os.PathError](err); ok {
			err = pathErr.Err
		}
		return 0, fmt.Sprintf("0, for %v", err), nil
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, "0, for it is no regular file", nil
	}
	head := make([]byte, 127)
	length, err := io.ReadFull(file, head)
	if length == 0 && err != io.EOF {
		return 0, fmt.Sprintf("0, for %v", err), nil
	}
	if length == 0 {
		return 0, isEmpty, nil
	}
	digits := number(strings.TrimLeft(string(head[:length]), " \t\n\v\f\r"))
	if digits == "" {
		return 0, "0, for there is no number in it", nil
	}
	v, err := strconv.ParseInt(digits, 0, 32)
	if err != nil {
		return 0, "", fmt.Errorf("%s: %s does not fit into 32 bits: %w", path, digits, ErrInconclusive)
	}
	return int(v), strconv.FormatInt(v, 10), nil
}

// number is as much of the beginning of a text as C reads as one.
func number(text string) string {
	digits := strings.TrimLeft(text, "+-")
	sign := text[:len(text)-len(digits)]
	if len(sign) > 1 {
		return ""
	}
	set, start := "0123456789", 0
	if len(digits) > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X') && strings.IndexByte(hexDigits, digits[2]) >= 0 {
		set, start = hexDigits, 2
	} else if len(digits) > 0 && digits[0] == '0' {
		set = "01234567"
	}
	end := start
	for end < len(digits) && strings.IndexByte(set, digits[end]) >= 0 {
		end++
	}
	if end == start {
		return ""
	}
	return strings.TrimPrefix(sign, "+") + digits[:end]
}

const hexDigits = "0123456789abcdefABCDEF"
