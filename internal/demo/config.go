package demo

import (
	"time"

	"github.com/rotatord/rotatord/internal/config"
)

// The providers are named like the vendors in what the sandbox tells.
const (
	dynamicName  = "dynamic"
	coboName     = "cobo"
	coSignerName = "vault"
)

// config is what a person would write for this stage, with everything that
// waits cut short: what takes minutes in the field is to be seen here.
func (s *stage) config() *config.Config {
	info := s.sandbox.Info(s.url)
	c := config.Default()
	c.Database.URL = config.NewSecret(s.dsn)
	c.Database.MigrateURL = c.Database.URL
	c.Database.AutoMigrate = true
	c.Database.MaxConnections = 12
	c.Scheduler.MinInterval = time.Second
	c.Scheduler.PollInterval = time.Second
	c.Scheduler.HeartbeatInterval = time.Second
	c.Scheduler.ShutdownGrace = drainTimeout
	c.Rotation.CeremonyTimeout = 30 * time.Second
	c.Rotation.QuietTime = c.Rotation.CallTimeout
	c.Rotation.Backoff = config.Backoff{Initial: 500 * time.Millisecond, Max: 5 * time.Second}
	c.Rotation.Circuit.Pause, c.Rotation.Circuit.MaxPause = time.Second, 5*time.Second
	c.Providers = []config.Provider{{
		Name: dynamicName, Type: config.TypeDynamic,
		Dynamic: &config.Dynamic{
			BaseURL: info.Dynamic.BaseURL, EnvironmentID: info.Dynamic.EnvironmentID,
			APIToken: config.NewSecret(info.Dynamic.APIToken), Auth: config.AuthTokenExchange, CoSigner: coSignerName,
		},
	}, {
		Name: coboName, Type: config.TypeCobo,
		Cobo: &config.Cobo{
			BaseURL: info.Cobo.BaseURL, APISecret: config.NewSecret(info.Cobo.APISecret), ResponsePublicKey: info.Cobo.ResponsePublicKey,
			TSSNodes: info.Cobo.TSSNodes, OriginalMainGroupHandling: config.ConvertToSigningGroup, ApprovalAttention: 10 * time.Second,
		},
	}}
	c.CoSigners = []config.CoSigner{{Name: coSignerName, URL: info.Cosigner.URL, Token: config.NewSecret(info.Cosigner.Token)}}
	return c
}
