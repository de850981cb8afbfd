package integration

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/proto"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

func TestCheckersAgainstRedis(t *testing.T) {
	dir := t.TempDir()
	a := lab.NewAuthority(t, dir)
	_, cert, key := a.Issue(time.Hour, "127.0.0.1")
	serve(t, "tcp 127.0.0.1:6379", "redis-server", "--port", "6379", "--bind", "127.0.0.1", "--save", "", "--dir", dir, "--requirepass", "secret",
		"--tls-port", "6380", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", a.File, "--tls-auth-clients", "no")
	serve(t, "tcp 127.0.0.1:6381", "redis-server", "--port", "6381", "--bind", "127.0.0.1", "--save", "", "--dir", dir, "--replicaof", "127.0.0.1 1")
	to := at("127.0.0.1:6379")
	judge(t, map[string]check.Checker{
		"PING":                        proto.Redis{Target: to, Password: "secret"},
		"without password: NOAUTH":    proto.Redis{Target: to},
		"another password: WRONGPASS": proto.Redis{Target: to, Password: "x"},
		"the default user":            proto.Redis{Target: to, User: "default", Password: "secret", Role: "master"},
		"TLS":                         proto.Redis{Target: at("127.0.0.1:6380"), TLS: &check.TLS{Roots: a.Pool()}, Password: "secret"},
		"TLS: unknown authority":      proto.Redis{Target: at("127.0.0.1:6380"), TLS: &check.TLS{}, Password: "secret"},
		"a replica":                   proto.Redis{Target: at("127.0.0.1:6381"), Role: "slave"},
		"a replica: want master":      proto.Redis{Target: at("127.0.0.1:6381"), Role: "master"},
	})
}

// owned is a directory of a user, whom its parents let in.
func owned(t *testing.T, name string) (dir string) {
	t.Helper()
	owner, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	dir = t.TempDir()
	for _, err := range []error{os.Chmod(filepath.Dir(dir), 0o755), os.Chown(dir, uid, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// postgreSQL runs a server at port 5432.
func postgreSQL(t *testing.T) (dir string) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		lab.Need(t, "/usr/lib/postgresql/15/bin/initdb")
	}
	bin := filepath.Dir(found[0])
	dir = owned(t, "postgres")
	as := []string{"--reuid", "postgres", "--regid", "postgres", "--clear-groups"}
	if out, err := exec.Command("setpriv", append(as, found[0], "-D", dir+"/data", "-A", "trust", "-U", "postgres", "-N", "--no-instructions", "--locale", "C")...).CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	replace(t, filepath.Join(dir, "data", "pg_hba.conf"), "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
	serve(t, "tcp 127.0.0.1:5432", "setpriv", append(as, filepath.Join(bin, "postgres"), "-D", dir+"/data", "-h", "127.0.0.1", "-p", "5432", "-k", dir,
		"-c", "fsync=off", "-c", "shared_buffers=1MB", "-c", "max_connections=10")...)
	within(t, 10*time.Second, "PostgreSQL has started", func() bool {
		return proto.PostgreSQL{Target: at("127.0.0.1:5432"), User: "postgres"}.Check(t.Context()) == nil
	})
	return dir
}

func TestCheckersAgainstPostgreSQL(t *testing.T) {
	postgreSQL(t)
	to := at("127.0.0.1:5432")
	judge(t, map[string]check.Checker{
		"a user without password":           proto.PostgreSQL{Target: to, User: "postgres"},
		"a user whom it does not know":      proto.PostgreSQL{Target: to},
		"a database that it does not know":  proto.PostgreSQL{Target: to, User: "postgres", Database: "nothing"},
		"primary":                           proto.PostgreSQL{Target: to, User: "postgres", Role: "primary"},
		"standby: its role is primary":      proto.PostgreSQL{Target: to, User: "postgres", Role: "standby"},
		"role of another: needs a password": proto.PostgreSQL{Target: to, User: "other", Role: "primary"},
		"TLS: it speaks no TLS":             proto.PostgreSQL{Target: to, TLS: &check.TLS{}},
	})
}

// mariaDB runs a server at port 3306.
func mariaDB(t *testing.T) (dir string) {
	t.Helper()
	lab.Need(t, "mariadbd")
	dir = owned(t, "mysql")
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir="+dir+"/data", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	users := filepath.Join(dir, "users.sql")
	replace(t, users, "CREATE USER probe@'127.0.0.1';\nCREATE USER secret@'127.0.0.1' IDENTIFIED BY 'x';\n")
	serve(t, "tcp 127.0.0.1:3306", "mariadbd", "--no-defaults", "--user=mysql", "--datadir="+dir+"/data", "--bind-address=127.0.0.1", "--port=3306",
		"--socket="+dir+"/sock", "--pid-file="+dir+"/pid", "--init-file="+users, "--innodb-flush-log-at-trx-commit=0")
	within(t, 10*time.Second, "MariaDB knows its users", func() bool {
		return proto.MySQL{Target: at("127.0.0.1:3306"), User: "probe"}.Check(t.Context()) == nil
	})
	return dir
}

func TestCheckersAgainstMariaDB(t *testing.T) {
	mariaDB(t)
	to := at("127.0.0.1:3306")
	judge(t, map[string]check.Checker{
		"the greeting":                                proto.MySQL{Target: to},
		"a user without password":                     proto.MySQL{Target: to, User: "probe"},
		"a user with one: Access denied":              proto.MySQL{Target: to, User: "secret"},
		"a user whom it does not know: Access denied": proto.MySQL{Target: to, User: "nobody"},
		"PostgreSQL there: PostgreSQL 127.0.0.1":      proto.PostgreSQL{Target: to},
	})
}
