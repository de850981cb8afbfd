//go:build unix

package notify

import (
	"errors"
	"io/fs"
	"os"
	osuser "os/user"
	"strconv"
	"syscall"
)

func makeFIFO(path, user, group string) (made bool, err error) {
	switch err := syscall.Mkfifo(path, 0o644); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, err
	}
	uid, gid, err := owner(user, group)
	if err == nil {
		err = os.Lchown(path, uid, gid)
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err == nil, err
}

// owner looks names up; -1 leaves one as it is. The group of a user is his own unless said otherwise.
func owner(user, group string) (uid, gid int, err error) {
	uid, gid = -1, -1
	if user != "" {
		u, err := osuser.Lookup(user)
		if err != nil {
			u, err = osuser.LookupId(user)
		}
		if err != nil {
			return uid, gid, err
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if group != "" {
		g, err := osuser.LookupGroup(group)
		if err != nil {
			g, err = osuser.LookupGroupId(group)
		}
		if err != nil {
			return uid, gid, err
		}
		gid, _ = strconv.Atoi(g.Gid)
	}
	return uid, gid, nil
}

var (
	errNoFIFO  = errors.New("it is there and no pipe: remove it, or name another")
	errForeign = errors.New("it belongs to another user: remove it, or name that user behind it")
)

// openFIFO opens for reading too, so that there always is a reader and writing never fails for want of one.
func openFIFO(path, user string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := judge(file, user); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func judge(file *os.File, user string) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeNamedPipe == 0 {
		return errNoFIFO
	}
	uid, _, err := owner(user, "")
	if err != nil {
		return err
	}
	if int(stat.Uid) != os.Geteuid() && int(stat.Uid) != uid {
		return errForeign
	}
	return nil
}
