package proto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/holdfast-lb/holdfast/check"
)

// Agent asks an agent beside the server how it is, as HAProxy's agent-check does: it connects, and reads a line of words.
//
//	up, ready            the server is well
//	75%                  it is well, with so much of its configured weight
//	drain                it is well, with weight 0: it keeps what it has and gets nothing new
//	down, fail, stopped  it is not well; what follows a # is the reason
//	maint                neither, until the agent says otherwise
//	maxconn:N            no effect here
//
// Words are separated by blanks, tabs or commas; of several the worst counts. Unlike HAProxy, which remembers drain and maint
// until ready, each answer stands for itself.
type Agent struct {
	check.Target
	// Send is sent first, such as the server's name and a line break. Empty means nothing.
	Send string
}

// Check implements [check.Checker].
func (c Agent) Check(ctx context.Context) error {
	_, err := c.Report(ctx)
	return err
}

// Report implements [check.Reporter]: the weight is the agent's, the detail its words.
func (c Agent) Report(ctx context.Context) (report check.Report, err error) {
	err = talk(ctx, "agent", c.Target, nil, func(s *session) error {
		if c.Send != "" {
			if err := s.say([]byte(c.Send)); err != nil {
				return err
			}
		}
		line, err := agentLine(s)
		if err != nil {
			return err
		}
		report, err = agentReport(line)
		return err
	})
	return report, err
}

// agentLine reads to the end of a line of any system, or of what the agent says.
func agentLine(s *session) (string, error) {
	var line []byte
	for {
		b, err := s.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF) || err == nil && (b == '\r' || b == '\n'):
			return string(line), nil
		case err != nil:
			return "", err
		}
		line = append(line, b)
	}
}

func agentReport(line string) (report check.Report, err error) {
	line, reason, _ := strings.Cut(line, "#")
	words := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	if len(words) == 0 {
		return report, errors.New("it says nothing")
	}
	report.Detail = clip(strings.TrimSpace(strings.Join(words, " ") + " " + strings.TrimSpace(reason)))
	drained := false
	for _, w := range words {
		percent, isPercent := strings.CutSuffix(w, "%")
		switch {
		case isPercent:
			n, err := strconv.Atoi(percent)
			if err != nil || n < 0 || n > 25600 {
				return report, fmt.Errorf("it says %s, which is no percentage", quote(w))
			}
			report.Weight = check.Percent(n)
		case w == "up" || w == "ready" || strings.HasPrefix(w, "maxconn:"):
		case w == "drain":
			drained = true
		case w == "down" || w == "fail" || w == "stopped" || w == "maint":
			return check.Report{Detail: report.Detail}, fmt.Errorf("it says %s", report.Detail)
		default:
			return report, fmt.Errorf("it says %s, which is no word of an agent", quote(w))
		}
	}
	if drained {
		report.Weight = check.Percent(0)
	}
	return report, nil
}

func clip(text string) string { return text[:min(len(text), 80)] }
