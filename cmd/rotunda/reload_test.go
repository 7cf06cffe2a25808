package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rotunda"
)

// writeWebCertificate makes a self-signed certificate for this machine as web.crt and web.key in dir, and adds it to roots.crt.
func writeWebCertificate(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := os.ReadFile(filepath.Join(dir, "roots.crt"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{
		"web.crt": cert, "roots.crt": append(roots, cert...), "web.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// process runs the command as a process of its own that believes the certificates in dir.
func process(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, stdout, stderr *transcript) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr = newTranscript(), newTranscript()
	cmd = exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(dir, "roots.crt"))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr, cmd.WaitDelay = stdout, stderr, childAttributes(), outputWithin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
		time.AfterFunc(stopWithin, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v\nstdout %s\nstderr %s", args, stdout, withoutEtcd(stderr.String()))
		}
	})
	return cmd, stdout, stderr
}

// guestAt asks a node for a guest's token and returns the answer's status.
func guestAt(t *testing.T, c *http.Client, base string) int {
	t.Helper()
	answer, err := c.Post(base+"/v1/guests", "application/json", strings.NewReader(`{"name":"ada"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// A node takes a new certificate, new limits and a new log level over while somebody speaks and somebody listens, who notice nothing; a
// file with mistakes is told of line by line and changes nothing.
func TestReload(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	dir := t.TempDir()
	m, err := newLocalMesh(dir, "127.0.0.1:0", []rotunda.Region{"us-east"}, false, false)
	if err != nil {
		t.Fatal(err)
	}
	writeWebCertificate(t, dir, 1)
	write := func(level, more string) {
		t.Helper()
		c := m.config(0)
		c.HTTP.URL, c.HTTP.Cert, c.HTTP.Key = strings.Replace(m.url(0), "http:", "https:", 1), "../web.crt", "../web.key"
		c.LogLevel = level
		text, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.configFile(0), append(text, more...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("info", "")
	base := strings.Replace(m.url(0), "http:", "https:", 1)
	node, _, log := process(t, dir, "node", "--config", m.configFile(0))
	log.waitFor(t, `"msg":"ready"`)
	hangup := func() {
		t.Helper()
		if err := node.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	speaker, link, _ := process(t, dir, "speak", base, "--tone", "440", "--duration", "8s")
	room := link.waitFor(t, `https://\S+/r/\S+`)[0]
	ear, heard, listening := process(t, dir, "listen", room, "--json")
	listening.waitFor(t, "listening")
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if serial := served(t, old, base); serial != 1 {
		t.Fatalf("certificate %d before the reload", serial)
	}

	writeWebCertificate(t, dir, 2)
	write("debug", "limits: {listeners: 1, guests: 0.0001/s burst 1}\n")
	hangup()
	log.waitFor(t, `"msg":"configuration reloaded"`)
	if serial := served(t, old, base); serial != 1 {
		t.Errorf("an open connection shows certificate %d", serial)
	}
	fresh := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if serial := served(t, fresh, base); serial != 2 {
		t.Errorf("a new connection shows certificate %d", serial)
	}

	if first, second := guestAt(t, fresh, base), guestAt(t, fresh, base); first != http.StatusCreated || second != http.StatusTooManyRequests {
		t.Errorf("guests under the new limit: %d, %d", first, second)
	}

	write("loud", "data_: x\nnonsense: 1\n")
	hangup()
	log.waitFor(t, `"configuration not reloaded","node":"[^"]*","problem":"[^"]*:\d+:\d+: log_level: `)
	log.waitFor(t, `node.yaml:\d+:\d+: data_: unknown key`)
	log.waitFor(t, `node.yaml:\d+:\d+: nonsense: unknown key`)
	var series bytes.Buffer
	answer, err := http.Get(m.admin(0) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := series.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(series.String(), "rotunda_config_reload_successful 0") {
		t.Error("the series do not say that the reload failed")
	}

	if err := speaker.Wait(); err != nil {
		t.Errorf("the speaker: %v", err)
	}
	if err := ear.Wait(); err != nil {
		t.Errorf("the listener: %v", err)
	}
	var s summary
	if err := json.Unmarshal([]byte(heard.String()), &s); err != nil {
		t.Fatalf("%q: %v", heard, err)
	}
	t.Logf("%s", heard)
	if s.Sessions != 1 || s.Missing != 0 || s.Expected < 100 {
		t.Errorf("the listener noticed: %s", heard)
	}
}

// served is the serial number of the certificate that the page shows.
func served(t *testing.T, c *http.Client, base string) int64 {
	t.Helper()
	answer, err := c.Get(base + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := new(bytes.Buffer).ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.TLS.PeerCertificates[0].SerialNumber.Int64()
}
