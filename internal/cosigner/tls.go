package cosigner

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// TLSFiles names the PEM files that a connection is made with.
type TLSFiles struct {
	// CA holds the roots that the co-signer's certificate must lead to. Empty:
	// the system's. Read once.
	CA string
	// Cert and Key are the client certificate for mTLS. Both or neither. They
	// are looked at again at every handshake, so that a renewed certificate
	// needs no restart.
	Cert, Key string
	// ServerName overrides the host of the URL in the check of the co-signer's
	// certificate.
	ServerName string
	// Log is told when a changed certificate cannot be used and the last good
	// one stays. Nil: slog.Default.
	Log *slog.Logger
}

// Config reads the files. It fails when one of them is unusable now; later the
// last good certificate stays in use.
func (f TLSFiles) Config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the co-signer's CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the co-signer's CA: %s holds no certificate", f.CA)
		}
	}
	if f.Cert == "" && f.Key == "" {
		return config, nil
	}
	if f.Cert == "" || f.Key == "" {
		return nil, errors.New("a client certificate needs both a certificate and a key file")
	}
	if f.Log == nil {
		f.Log = slog.Default()
	}
	current := &clientCertificate{certFile: f.Cert, keyFile: f.Key, log: f.Log}
	if err := current.reload(); err != nil {
		return nil, fmt.Errorf("reading the client certificate: %w", err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return current.get(), nil
	}
	return config, nil
}

// clientCertificate follows two files. Handshakes are rare next to calls, and
// the files are small: comparing their content is cheaper to reason about than
// their times.
type clientCertificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu        sync.Mutex
	cert, key []byte // the PEM that pair was made of
	pair      *tls.Certificate
	complaint string // the last one logged, so that it is not repeated
}

func (c *clientCertificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.reload()
	if err == nil {
		c.complaint = ""
	} else if c.complaint != err.Error() {
		// Often a renewal is half written; the next handshake looks again.
		c.complaint = err.Error()
		c.log.Warn("keeping the last good client certificate", "file", c.certFile, "error", err)
	}
	return c.pair
}

func (c *clientCertificate) reload() error {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return err
	}
	if c.pair != nil && bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	c.cert, c.key, c.pair = cert, key, &pair
	return nil
}
