// Package config reads keepalived.conf: from text to a syntax tree, from the tree to typed values, with a diagnostic at
// line and column for everything that is wrong, and for everything that is known and has no effect here.
//
// # Usage
//
//	cfg, diags, err := config.LoadFile("/etc/keepalived/keepalived.conf")
//	if err != nil { ... }               // the file could not be read
//	for _, d := range diags { fmt.Println(d) }
//	if diags.Err() != nil { ... }       // it has errors; cfg holds what could be read all the same
//
// [Read] takes text that is at hand. The layers can be used alone: [Parse] gives the [File], a tree that keeps comments, positions and unknown keywords;
// [Decode] gives the [Config]; [Lint] looks for what is allowed and brings services down nevertheless.
//
// Nothing is executed and nothing is changed, whatever the file says.
//
// # Keywords
//
// Every keyword of keepalived 2.4 is known: see [Keywords]. Those that are effective are decoded; a statement of any other
// gets a note. An unknown keyword gets an error with the one that was probably meant, and reading goes on.
//
// # Limitations
//
// Include files, $definitions, @conditions and ~SEQ are recognised and refused with an error at their place.
package config
