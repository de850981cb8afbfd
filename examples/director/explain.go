package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/holdfast-lb/holdfast/config"
)

// explanation is the form of a keyword that other programs rely on.
type explanation struct {
	Block     string `json:"block"`
	Keyword   string `json:"keyword"`
	Arguments string `json:"arguments"`
	Default   string `json:"default"`
	Meaning   string `json:"meaning"`
	Status    string `json:"status"` // effective or accepted
	Reason    string `json:"reason"`
}

func explain(k config.Keyword) explanation {
	e := explanation{k.Block, k.Name, k.Arguments, k.Default, k.Meaning, "accepted", k.Reason}
	if k.Effective {
		e.Status = "effective"
	}
	return e
}

func explainCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("explain", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	what, err := parseSome(flags, args, stdout, stderr)
	if err != nil {
		return parseStatus(err)
	}
	if len(what) > 1 {
		fmt.Fprintln(stderr, "director explain: one BLOCK/KEYWORD, or none for all")
		return exitUsage
	}
	topic := strings.Join(what, "")
	if code, isRule := strings.CutPrefix(topic, "lint/"); isRule {
		return explainRule(code, stdout, stderr)
	}
	list := matching(strings.Trim(topic, "/"))
	if len(list) == 0 {
		fmt.Fprintf(stderr, "director: there is no keyword or block %s%s\n", topic, meantTopic(topic))
		return exitFailed
	}
	if *asJSON {
		printIndented(stdout, list)
		return exitOK
	}
	for _, e := range list {
		printExplanation(stdout, e)
	}
	return exitOK
}

// meantTopic is the topic that was probably meant: its last word may be a name that there is, in any block.
func meantTopic(topic string) string {
	block, name := path.Split(topic)
	var names, inBlock []string
	for _, k := range config.Keywords() {
		names = append(names, k.Name, path.Base(k.Block))
		if block != "" && within(k.Block, strings.Trim(block, "/")) {
			inBlock = append(inBlock, k.Name)
		}
	}
	if meant := config.Nearest(name, inBlock); meant != "" {
		return didYouMean(block + meant)
	}
	return didYouMean(config.Nearest(name, names))
}

func didYouMean(what string) string {
	if what == "" {
		return ""
	}
	return "; did you mean " + what + "?"
}

// matching finds a keyword by path or by name, or everything in a block; all for an empty topic.
func matching(topic string) (list []explanation) {
	for _, k := range config.Keywords() {
		if topic == "" || within(k.Path(), topic) || within(k.Block, topic) {
			list = append(list, explain(k))
		}
	}
	return list
}

func printExplanation(w io.Writer, e explanation) {
	fmt.Fprintf(w, "%s %s\n", strings.TrimPrefix(e.Block+"/"+e.Keyword, "/"), e.Arguments)
	if e.Meaning != "" {
		fmt.Fprintf(w, "    %s\n", e.Meaning)
	}
	if e.Default != "" {
		fmt.Fprintf(w, "    default: %s\n", e.Default)
	}
	fmt.Fprintf(w, "    here: %s\n", strings.TrimSuffix(e.Status+", "+e.Reason, ", "))
}

func explainRule(code string, stdout, stderr io.Writer) int {
	found := false
	for _, r := range config.Rules() {
		if code == "" || r.Code == code {
			fmt.Fprintf(stdout, "lint/%s (%v)\n    %s\n    What to do: %s.\n", r.Code, r.Severity, r.Why, r.Fix)
			found = true
		}
	}
	if !found {
		var codes []string
		for _, r := range config.Rules() {
			codes = append(codes, r.Code)
		}
		fmt.Fprintf(stderr, "director: there is no lint rule %s%s\n", code, didYouMean(config.Nearest(code, codes)))
		return exitFailed
	}
	return exitOK
}

func printIndented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// within says whether a path ends with the topic, or has it as a block.
func within(path, topic string) bool {
	return strings.HasSuffix("/"+path, "/"+topic) || strings.Contains("/"+path+"/", "/"+topic+"/")
}
