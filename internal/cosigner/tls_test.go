package cosigner_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/cosigner/reference"
	"github.com/rotatord/rotatord/internal/provider"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	a.key, der = a.sign(template)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(template *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

// issue is a certificate and its key, as PEM.
func (a *authority) issue(name string) (cert, key []byte) {
	a.t.Helper()
	private, der := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name},
	})
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func writeFile(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serveTLS serves with mutual TLS. It tells who came.
func serveTLS(t *testing.T, a *authority, require tls.ClientAuthType, handler http.Handler) (url string, callers <-chan string) {
	t.Helper()
	cert, err := tls.X509KeyPair(a.issue("co-signer"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, c := range r.TLS.PeerCertificates {
			seen <- c.Subject.CommonName
		}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: require}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, seen
}

func startReference(t *testing.T) *reference.Server {
	t.Helper()
	server, err := reference.Open(t.TempDir(), reference.Options{NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestMutualTLS(t *testing.T) {
	a, stranger, dir := newAuthority(t), newAuthority(t), t.TempDir()
	ca := writeFile(t, filepath.Join(dir, "ca.pem"), a.pem())
	otherCA := writeFile(t, filepath.Join(dir, "other-ca.pem"), stranger.pem())
	pair := func(a *authority, name string) (cert, key string) {
		c, k := a.issue(name)
		return writeFile(t, filepath.Join(dir, name+".pem"), c), writeFile(t, filepath.Join(dir, name+".key"), k)
	}
	cert, key := pair(a, "rotatord")
	strangerCert, strangerKey := pair(stranger, "stranger")

	url, callers := serveTLS(t, a, tls.RequireAndVerifyClientCert, startReference(t).Handler())
	ask := func(url string, files cosigner.TLSFiles) error {
		t.Helper()
		config, err := files.Config()
		if err != nil {
			t.Fatal(err)
		}
		_, err = newClient(t, cosigner.Options{URL: url, TLS: config}).Status(t.Context(), uuid.New())
		return err
	}
	// 404 is the reference's own word: the call came through.
	if err := ask(url, cosigner.TLSFiles{CA: ca, Cert: cert, Key: key}); !errors.Is(err, cosigner.ErrUnknown) {
		t.Errorf("the right certificate: %v", err)
	}
	if who := <-callers; who != "rotatord" {
		t.Errorf("%s came", who)
	}
	for name, files := range map[string]cosigner.TLSFiles{
		"no certificate":           {CA: ca},
		"a stranger's certificate": {CA: ca, Cert: strangerCert, Key: strangerKey},
		"a stranger's co-signer":   {CA: otherCA, Cert: cert, Key: key},
		"the system's roots":       {Cert: cert, Key: key},
		"another server name":      {CA: ca, Cert: cert, Key: key, ServerName: "elsewhere"},
	} {
		err := ask(url, files)
		if class, reason := provider.ClassOf(err); err == nil || errors.Is(err, cosigner.ErrUnknown) || class != provider.Retryable || reason != provider.ReasonCoSigner {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ask(url, cosigner.TLSFiles{CA: ca, Cert: cert, Key: key, ServerName: "co-signer"}); !errors.Is(err, cosigner.ErrUnknown) {
		t.Errorf("the right server name: %v", err)
	}

	// A listener that does not insist lets strangers through to the handler,
	// which then must.
	lax, _ := serveTLS(t, a, tls.RequestClientCert, startReference(t).Handler())
	for name, files := range map[string]cosigner.TLSFiles{
		"no certificate":                         {CA: ca},
		"a certificate that nobody has verified": {CA: ca, Cert: cert, Key: key},
	} {
		if _, reason := provider.ClassOf(ask(lax, files)); reason != provider.ReasonAuth {
			t.Errorf("%s, not insisted on: %s", name, reason)
		}
	}
}

func TestClientCertificateIsReloaded(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	var log bytes.Buffer
	files := cosigner.TLSFiles{
		CA: writeFile(t, filepath.Join(dir, "ca.pem"), a.pem()), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	first, firstKey := a.issue("first")
	second, secondKey := a.issue("second")
	writeFile(t, files.Cert, first)
	writeFile(t, files.Key, firstKey)
	config, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	url, callers := serveTLS(t, a, tls.RequireAndVerifyClientCert, startReference(t).Handler())
	c := newClient(t, cosigner.Options{URL: url, TLS: config})
	comes := func(want string) {
		t.Helper()
		c.Close() // the next call shakes hands again
		if _, err := c.Status(t.Context(), uuid.New()); !errors.Is(err, cosigner.ErrUnknown) {
			t.Fatal(err)
		}
		if who := <-callers; who != want {
			t.Errorf("%s came, want %s", who, want)
		}
	}
	comes("first")
	writeFile(t, files.Cert, second) // the renewal is half done
	comes("first")
	comes("first")
	if n := strings.Count(log.String(), "keeping the last good"); n != 1 {
		t.Errorf("%d complaints: %s", n, &log)
	}
	writeFile(t, files.Key, secondKey)
	comes("second")
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	comes("second")
	if n := strings.Count(log.String(), "keeping the last good"); n != 2 {
		t.Errorf("%d complaints: %s", n, &log)
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Error("the key is in the log")
	}
}

func TestTLSFilesRefuse(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	certPEM, keyPEM := a.issue("one")
	_, otherKey := a.issue("two")
	cert := writeFile(t, filepath.Join(dir, "cert"), certPEM)
	key := writeFile(t, filepath.Join(dir, "key"), keyPEM)
	for name, files := range map[string]cosigner.TLSFiles{
		"no such CA":      {CA: filepath.Join(dir, "none")},
		"a CA of nothing": {CA: writeFile(t, filepath.Join(dir, "empty"), nil)},
		"no key":          {Cert: cert},
		"no certificate":  {Key: key},
		"no such key":     {Cert: cert, Key: filepath.Join(dir, "none")},
		"another's key":   {Cert: cert, Key: writeFile(t, filepath.Join(dir, "other"), otherKey)},
		"swapped":         {Cert: key, Key: cert},
	} {
		if _, err := files.Config(); err == nil || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if config, err := (cosigner.TLSFiles{}).Config(); err != nil || config.MinVersion < tls.VersionTLS12 || config.InsecureSkipVerify {
		t.Errorf("no files: %v", err)
	}
}
