// Package lab is the testbed: hosts on a switch, in network namespaces that vanish with the process, and ordinary Go
// tests that run in a kernel with ip_vs.
//
// # Namespaces
//
// [Main] (for tests) and [Enter] (for programs) run the program once more in fresh network, mount and process namespaces,
// and in a user namespace when it is not root's. Everything the lab makes lives there, so nothing touches the machine's
// own network, and all of it is gone when the process ends, however it ends.
//
//	func TestMain(m *testing.M) { lab.Main(m) }
//
//	func TestTakeover(t *testing.T) {
//		n := lab.New(t)
//		a := n.Host("a", "10.0.0.1/24")
//		b := n.Host("b", "10.0.0.2/24")
//		p := a.Start(t.Context(), "keepalived", "-n", "-l", "-f", "a.conf")
//		...
//		a.Cut()
//	}
//
// # Kernels
//
// Tests of ip_vs are named TestKernel... and begin with
//
//	if !lab.Kernel(t) {
//		return
//	}
//
// On a kernel with ip_vs they just go on. Elsewhere the tests of that name are run once per package inside User Mode
// Linux, and each gets its own verdict from there. [UML] runs any command that way. Tests that are named TestSystemd... and begin
// with [Systemd] are run there with systemd as the first process.
//
// # Skips
//
// A test that needs a program or a kernel feature which is missing is skipped with the install command in the message;
// with HOLDFAST_REQUIRE_LAB=1 it fails.
package lab
