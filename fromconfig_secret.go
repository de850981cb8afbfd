package holdfast

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-lb/holdfast/config"
)

// maxSecret bounds what is read of a file with a secret.
const maxSecret = 64 << 10

// readSecret reads a file that others must not be able to read. A name without a / is that of a credential that systemd has put
// where $CREDENTIALS_DIRECTORY says.
func readSecret(name string) (text string, err error) {
	if !strings.ContainsRune(name, '/') {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", fmt.Errorf("credential %s: $CREDENTIALS_DIRECTORY is not set: write LoadCredential=%s:FILE into the unit, or a path here", name, name)
		}
		name = filepath.Join(dir, name)
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() > maxSecret:
		return "", fmt.Errorf("%s is no file of at most %d bytes", name, maxSecret)
	case info.Mode().Perm()&0o006 != 0:
		return "", fmt.Errorf("%s is open to everybody on this host: chmod o= %s", name, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	all, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if text = strings.TrimRight(string(all), "\r\n"); err == nil && text == "" {
		err = fmt.Errorf("%s is empty", name)
	}
	return text, err
}

// secureMail adds what only Holdfast has to what keepalived knows of mail.
func secureMail(mail *Mail, m *config.Mail) error {
	if mail == nil {
		return nil
	}
	var errs []error
	mail.Security, mail.User = cmp.Or(m.Security, mail.Security), m.User
	if m.PasswordFile != "" {
		var err error
		mail.Password, err = readSecret(m.PasswordFile)
		errs = append(errs, named("smtp_password_file", err))
	}
	trust, err := trusting(m.CA)
	if mail.TLS = trust; trust != nil {
		mail.TLS.ServerName = m.Server
	}
	return errors.Join(append(errs, named("smtp_tls_ca", err))...)
}

func webhooksOf(c *config.Config) (list []Webhook, err error) {
	var errs []error
	for _, w := range c.Webhooks {
		one, err := webhookOf(w)
		if err != nil {
			errs = append(errs, fmt.Errorf("%v: webhook %s: %w", w.Pos, w.Name, err))
		}
		list = append(list, one)
	}
	return list, errors.Join(errs...)
}

func webhookOf(w *config.Webhook) (Webhook, error) {
	hook := Webhook{Name: w.Name, URL: w.URL, Timeout: w.Timeout}
	var errs [3]error
	if w.URLFile != "" {
		hook.URL, errs[0] = readSecret(w.URLFile)
	}
	if w.HeaderFile != "" {
		hook.Header, errs[1] = readHeaders(w.HeaderFile)
	}
	hook.TLS, errs[2] = trusting(w.CA)
	for _, e := range w.Events {
		hook.About = append(hook.About, Match{Kind: EventKind(e.Kind), To: e.To})
	}
	return hook, errors.Join(named("url_file", errs[0]), named("header_file", errs[1]), named("tls_ca", errs[2]))
}

// readHeaders reads lines of "Name: value". What is wrong with one is told without showing it.
func readHeaders(name string) (http.Header, error) {
	text, err := readSecret(name)
	if err != nil {
		return nil, err
	}
	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(text + "\r\n\r\n"))).ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("%s has no lines of the form Name: value", name)
	}
	return http.Header(header), nil
}

// trusting trusts the authorities of a file and no others; nil is for the host's.
func trusting(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := authorities.Get(string(text), func() (*x509.CertPool, error) { return poolOf(text) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func named(keyword string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", keyword, err)
}
