// Command director runs a keepalived.conf: it holds the virtual IPs, keeps the kernel's load balancer and throws sick
// servers out.
//
//	director run -f FILE [--status ADDR] [--ipvs auto|kernel|relay|none] [--log-format text|json] [-v]
//	director check [--json] [-v] FILE
//	director plan [--status ADDR] FILE
//	director fmt [-w] FILE
//	director explain [--json] [BLOCK/KEYWORD | lint/CODE]
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
  director run -f FILE [-i ID] [--status ADDR] [--ipvs auto|kernel|relay|none] [--log-format text|json] [-v]
        runs FILE in the foreground. SIGHUP reads it again; SIGTERM leaves cleanly.
        --status ADDR serves what is in force over HTTP: / for people, /status as JSON, /plan for director plan
        --ipvs auto takes the kernel's table if there is one, else the relay, which passes connections on in user space; kernel
        and relay insist; none runs the checks and balances nothing
  director check [--json] [-v] [-i ID] FILE
        says what is wrong with FILE and what brings services down; exit 1 on errors. -v lists what has no effect here
  director plan [--status ADDR] [-i ID] FILE
        prints what FILE asks for, or what would change in the director that serves its status at ADDR
  director fmt [-w] FILE
        prints FILE in its canonical layout, or with -w writes it
  director explain [--json] [BLOCK/KEYWORD | lint/CODE]
        tells what a keyword means and whether it is effective here, or what a remark of check is about
-i ID (--config-id) is what @ID lines are compared with; the default is the host's name up to its first dot
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
	case "fmt":
		return fmtCommand(args[1:], stdout, stderr)
	case "explain":
		return explainCommand(args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	fmt.Fprintf(stderr, "director: unknown command %q\n%s", args[0], usage)
	return exitUsage
}

// errUsage has been told already.
var errUsage = errors.New("usage")

// parseSome reads flags that stand before, between or after the operands.
func parseSome(flags *flag.FlagSet, args []string, stderr io.Writer) (operands []string, err error) {
	flags.SetOutput(io.Discard)
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			fmt.Fprintf(stderr, "director %s: %v\n%s", flags.Name(), err, usage)
			return nil, errUsage
		}
		if args = flags.Args(); len(args) > 0 {
			operands, args = append(operands, args[0]), args[1:]
		}
	}
	return operands, nil
}

// parse is parseSome for a command that wants so many operands.
func parse(flags *flag.FlagSet, args []string, count int, stderr io.Writer) ([]string, error) {
	operands, err := parseSome(flags, args, stderr)
	if err == nil && len(operands) != count {
		fmt.Fprintf(stderr, "director %s: %d operands (%s), wanted %d\n%s", flags.Name(), len(operands), strings.Join(operands, " "), count, usage)
		err = errUsage
	}
	return operands, err
}
