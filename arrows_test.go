package holdfast_test

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/holdfast-lb/holdfast"

// TestLeavesDoNotKnowEachOther holds the arrows of ARCHITECTURE.md: vrrp, ipvs, check and config import only internal/
// and what lies below themselves.
func TestLeavesDoNotKnowEachOther(t *testing.T) {
	for _, leaf := range []string{"vrrp", "ipvs", "check", "config", "internal"} {
		for _, dir := range packagesBelow(t, leaf) {
			for _, imported := range importsOf(t, dir) {
				inner, ours := strings.CutPrefix(imported, module)
				inner = strings.TrimPrefix(inner, "/")
				if !ours || below(inner, leaf) || below(inner, "internal") {
					continue
				}
				t.Errorf("%s imports %s: a leaf may import only internal/ and itself", dir, imported)
			}
		}
	}
}

func below(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func packagesBelow(t *testing.T, root string) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// importsOf lists what the package and its tests import, for Linux and for a system that has none of this.
func importsOf(t *testing.T, dir string) (imports []string) {
	t.Helper()
	for _, goos := range []string{"linux", "darwin"} {
		ctxt := build.Default
		ctxt.GOOS = goos
		pkg, err := ctxt.ImportDir(dir, 0)
		if _, empty := err.(*build.NoGoError); empty {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		imports = append(imports, pkg.Imports...)
		imports = append(imports, pkg.TestImports...)
		imports = append(imports, pkg.XTestImports...)
	}
	return imports
}
