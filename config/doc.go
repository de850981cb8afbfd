// Package config reads keepalived.conf: from text to a syntax tree, to expanded statements, to typed values, with a diagnostic
// at line and column for everything that is wrong, for everything that brings services down, and for everything that is
// known and has no effect here.
//
// # Usage
//
//	cfg, diags, err := config.LoadFile("/etc/keepalived/keepalived.conf")
//	if err != nil { ... }               // the file could not be read
//	for _, d := range diags { fmt.Println(d) }
//	if diags.Err() != nil { ... }       // it has errors; cfg holds what could be read all the same
//
// [Loader] reads from an [io/fs.FS], with another configuration id or environment; [Read] takes text that is at hand. With a
// [Cache], a file is read again at the cost of what changed in it.
//
// # Layers
//
// Each can be used alone. [Parse] gives the [File] as it was written: a tree that keeps comments, positions, unknown keywords,
// and the lines of the language around the keywords. [Loader.Expand] follows includes, decides conditions, replaces definitions
// and writes repetitions out; [Pos.Via] tells what produced a statement. [Decode] gives the [Config]: defaults and inheritance
// (virtual server, real server, checker) are resolved once, after the whole file is read, so that order does not matter for
// them; of global_defs the announcement defaults reach the instances below, everything else all. [Lint] applies [Rules].
// [Format] gives the canonical layout, of a tree that was changed too ([File.Format]).
//
// Nothing is executed and nothing is changed, whatever the file says.
//
// # Keywords
//
// Every keyword of keepalived 2.4 is in one table: block, form and range of its values, default, meaning. From it come
// [Keywords], the check of every value, the keyword that was probably meant, and docs/keywords.md. Those that are effective
// have a field in the typed values; a statement of any other is checked all the same and gets a remark with what is lost. An
// unknown keyword gets an error, its block is left out, and reading goes on. [Config.NotHeld] lists statements without which
// the rest would be something else: a program must not run such a Config.
//
// # Limits
//
// A file has at most 256 MiB. Files, definitions and repetitions nest 32 deep, expansion makes at most 1,048,576 lines and
// replacements, and a line grows to at most 1 MiB: what goes beyond is cut off with an error.
//
// # Errors and concurrency
//
// Functions return an error only when a file cannot be read; everything about its text is a [Diagnostic]. All functions may
// be called from any goroutine; a Config is not changed after it is returned.
package config
