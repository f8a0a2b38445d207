package torture

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// The names of the providers are those of the vendors in what the sandbox
// tells.
const (
	dynamicName  = "dynamic"
	coboName     = "cobo"
	coSignerName = "vault"
)

// The times that decide when a replica counts as dead. They are as short as a
// busy machine allows without living replicas being taken for dead all the
// time; that harms nobody, but tests something else.
const (
	heartbeatTimeout = 4 * time.Second
	callTimeout      = 3 * time.Second
	// lateAtMost is how late a call may take effect. It is far shorter than a
	// person's patience: who discards a prepared share set states that the vendor
	// will not promote it any more.
	lateAtMost = 800 * time.Millisecond
)

// settings of a daemon. Everything that waits is cut short.
const settings = `
database:
  url: %q
  max_connections: 8
http:
  listen: 127.0.0.1:0
scheduler:
  min_interval: 1s
  poll_interval: 1s
  heartbeat_interval: 500ms
  heartbeat_timeout: %s
  workers: 32
  shutdown_grace: 30s
rotation:
  call_timeout: %s
  ceremony_timeout: 10s
  commit_attention_after: 5s
  quiet_time: %s
  approval_timeout: 1m
  backoff: {initial: 300ms, max: 3s}
  circuit: {pause: 1s, max_pause: 3s}
providers:
  - name: dynamic
    type: dynamic
    base_url: %s
    environment_id: %s
    api_token: %s
    rate_limits: []
  - name: cobo
    type: cobo
    base_url: %s
    api_secret: %s
    response_public_key: %s
    tss_nodes: [%s]
    retire_grace: 1s
    approval_attention: 30s
    rate_limits: []
cosigners:
  - name: vault
    url: %s
    token: %s
`

// writeConfig writes a daemon's file. It works as the role that operators give
// it.
func writeConfig(path, dsn string, info sandbox.Info) error {
	u, err := url.Parse(dsn)
	if err != nil {
		return fmt.Errorf("reading the database URL: %w", err)
	}
	q := u.Query()
	q.Set("role", "rotatord_app")
	u.RawQuery = q.Encode()
	text := fmt.Appendf(nil, settings, u.String(), heartbeatTimeout, callTimeout, callTimeout,
		info.Dynamic.BaseURL, info.Dynamic.EnvironmentID, info.Dynamic.APIToken,
		info.Cobo.BaseURL, info.Cobo.APISecret, info.Cobo.ResponsePublicKey, strings.Join(info.Cobo.TSSNodes, ", "),
		info.Cosigner.URL, info.Cosigner.Token)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("writing a daemon's configuration: %w", err)
	}
	return nil
}
