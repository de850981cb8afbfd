package filewatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// hub has the inotify instance of the process.
type hub struct {
	mu      sync.Mutex // guards the fields below
	file    *os.File   // nil without watches
	watches int
	byID    map[int32]*directory
	byPath  map[string]*directory
}

// directory is watched for those who have a file in it.
type directory struct {
	path    string
	id      int32
	watches []*Watch
}

// events are those after which a file has another content.
const events = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CREATE |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

func (h *hub) add(w *Watch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.open(); err != nil {
		return err
	}
	h.watches++
	for path := range w.names {
		if err := h.join(path, w); err != nil {
			h.leave(w)
			return fmt.Errorf("watch %s: %w", path, err)
		}
	}
	return nil
}

// open begins with the first watch.
func (h *hub) open() error {
	if h.file != nil {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	h.file = os.NewFile(uintptr(fd), "inotify")
	h.byID, h.byPath = map[int32]*directory{}, map[string]*directory{}
	go h.read(h.file)
	return nil
}

func (h *hub) join(path string, w *Watch) error {
	if d := h.byPath[path]; d != nil {
		d.watches = append(d.watches, w)
		return nil
	}
	if err := tells(path); err != nil {
		return err
	}
	id, err := h.watch(path)
	if err != nil {
		return err
	}
	d := h.byID[id]
	if d == nil { // it may be known by another path
		d = &directory{path: path, id: id}
		h.byID[id] = d
	}
	h.byPath[path] = d
	d.watches = append(d.watches, w)
	return nil
}

func (h *hub) watch(path string) (id int32, err error) {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		var n int
		n, err = unix.InotifyAddWatch(int(fd), path, events)
		id = int32(n)
	})
	return id, errors.Join(controlErr, err)
}

// hostfs is the magic number of the file system by which User Mode Linux sees its host's files.
const hostfs = 0x00c0ffee

// remote are the file systems on which others write without our kernel's knowledge, or that are no files at all.
var remote = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.NFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC,
	unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC,
	hostfs,
}

// tells says whether the kernel knows of changes in a directory.
func tells(path string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return err
	}
	if slices.Contains(remote, int64(s.Type)) {
		return fmt.Errorf("%w: %w", errRemote, errors.ErrUnsupported)
	}
	return nil
}

func (h *hub) remove(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(w)
}

// leave takes a watch out of its directories, and ends with the last one.
func (h *hub) leave(w *Watch) {
	for path := range w.names {
		d := h.byPath[path]
		if d == nil {
			continue
		}
		d.watches = slices.DeleteFunc(d.watches, func(other *Watch) bool { return other == w })
		if len(d.watches) == 0 {
			h.forget(d)
			h.unwatch(d.id)
		}
	}
	if h.watches--; h.watches == 0 {
		h.file.Close() // its reader ends
		h.file = nil
	}
}

func (h *hub) forget(d *directory) {
	delete(h.byID, d.id)
	for path, other := range h.byPath {
		if other == d {
			delete(h.byPath, path)
		}
	}
}

func (h *hub) unwatch(id int32) {
	if raw, err := h.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(id)) })
	}
}

func (h *hub) read(file *os.File) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := file.Read(buffer)
		if err != nil {
			return
		}
		h.mu.Lock()
		if h.file == file {
			h.dispatch(buffer[:n])
		}
		h.mu.Unlock()
	}
}

// dispatch tells those whom the events are about. An event is: id, mask, cookie and length of the name in 32 bits each, then
// the name, filled up with zeros; see inotify(7).
func (h *hub) dispatch(b []byte) {
	for len(b) >= unix.SizeofInotifyEvent {
		id, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		length := int(binary.NativeEndian.Uint32(b[12:]))
		if length > len(b)-unix.SizeofInotifyEvent {
			return
		}
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+length], []byte{0})
		b = b[unix.SizeofInotifyEvent+length:]
		switch d := h.byID[id]; {
		case mask&unix.IN_Q_OVERFLOW != 0:
			h.signalAll()
		case d == nil:
		case mask&(unix.IN_IGNORED|unix.IN_MOVE_SELF|unix.IN_DELETE_SELF|unix.IN_UNMOUNT) != 0:
			h.forget(d)
			for _, w := range d.watches {
				w.lose()
			}
		case mask&unix.IN_CREATE != 0 && d.willBeWritten(string(name)):
		default:
			d.signal(string(name))
		}
	}
}

// willBeWritten says of a file that was just created that its writer will close it: of a link there is no such event.
func (d *directory) willBeWritten(name string) bool {
	var s unix.Stat_t
	err := unix.Lstat(filepath.Join(d.path, name), &s)
	return err == nil && s.Mode&unix.S_IFMT == unix.S_IFREG && s.Nlink == 1
}

func (d *directory) signal(name string) {
	for _, w := range d.watches {
		for _, names := range w.names {
			if names[name] {
				w.signal()
			}
		}
	}
}

// signalAll is for events that were lost: everything may have changed.
func (h *hub) signalAll() {
	for _, d := range h.byID {
		for _, w := range d.watches {
			w.signal()
		}
	}
}
