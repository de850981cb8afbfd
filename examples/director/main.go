// Command director runs a keepalived.conf: it holds the virtual IPs, keeps the kernel's load balancer and throws sick
// servers out.
//
//	director run -f FILE [--status ADDR] [--ipvs auto|kernel|relay|none] [--log-format text|json] [-v]
//	director check [--json] FILE
//	director plan [--status ADDR] FILE
//
// Exit status: 0 done, 1 the file has errors or the work failed, 2 usage or unreadable file.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

const usage = `usage:
  director run -f FILE [--status ADDR] [--ipvs auto|kernel|relay|none] [--log-format text|json] [-v]
        runs FILE in the foreground. SIGHUP reads it again; SIGTERM leaves cleanly.
        --status ADDR serves what is in force over HTTP: / for people, /status as JSON, /plan for director plan
        --ipvs auto takes the kernel's table if there is one; none runs the checks and balances nothing
  director check [--json] FILE
        says what is wrong with FILE and what has no effect; exit 1 on errors
  director plan [--status ADDR] FILE
        prints what FILE asks for, or what would change in the director that serves its status at ADDR
`

// Exit statuses.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	status := command(os.Args[1:], out, os.Stderr)
	if err := out.Flush(); err != nil && status == exitOK {
		status = exitFailed
	}
	os.Exit(status)
}

func command(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "run":
		return runCommand(args[1:], stderr)
	case "check":
		return checkCommand(args[1:], stdout, stderr)
	case "plan":
		return planCommand(args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	fmt.Fprintf(stderr, "director: unknown command %q\n%s", args[0], usage)
	return exitUsage
}

// errUsage has been told already.
var errUsage = errors.New("usage")

// parse reads flags that stand before, between or after the operands, and wants so many operands.
func parse(flags *flag.FlagSet, args []string, operands int, stderr io.Writer) ([]string, error) {
	flags.SetOutput(io.Discard)
	var rest []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			fmt.Fprintf(stderr, "director %s: %v\n%s", flags.Name(), err, usage)
			return nil, errUsage
		}
		if args = flags.Args(); len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	if len(rest) != operands {
		fmt.Fprintf(stderr, "director %s: %d operands (%s), wanted %d\n%s", flags.Name(), len(rest), strings.Join(rest, " "), operands, usage)
		return nil, errUsage
	}
	return rest, nil
}
