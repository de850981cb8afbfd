//go:build unix

package script

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// identity is whom a program runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32
	other    bool // than this process
}

// lookUp finds names and numbers; a number need not have a name.
func lookUp(userName, groupName string, supplementary bool) (who identity, err error) {
	who = identity{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	if userName == "" && groupName == "" {
		return who, nil
	}
	own := who
	if userName != "" {
		if err := who.become(userName, supplementary); err != nil {
			return who, err
		}
	}
	if groupName != "" {
		if who.gid, err = groupOf(groupName); err != nil {
			return who, err
		}
	}
	// Without privilege the groups cannot be set; staying the same user in the same group needs no change.
	who.other = own.uid != who.uid || own.gid != who.gid || own.uid == 0
	return who, nil
}

func (who *identity) become(name string, supplementary bool) error {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return who.number(name)
		}
	}
	who.uid, who.gid = number(u.Uid), number(u.Gid)
	if !supplementary {
		return nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("groups of user %s: %w", name, err)
	}
	for _, id := range ids {
		who.groups = append(who.groups, number(id))
	}
	return nil
}

// number takes a user that has a number only.
func (who *identity) number(text string) error {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("there is no user %s", text)
	}
	who.uid = uint32(n)
	return nil
}

func groupOf(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return number(g.Gid), nil
	}
	n, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("there is no group %s", name)
	}
	return uint32(n), nil
}

func number(text string) uint32 {
	n, _ := strconv.ParseUint(text, 10, 32)
	return uint32(n)
}
