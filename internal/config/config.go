// Package config reads the daemon's YAML file. It is strict: an unknown or
// doubled key, a value of the wrong kind and a combination that cannot work
// are refused, all of them at once, each with its line and a sentence that says
// what to do. What is read holds no defaults to be filled in later and no
// secret that prints itself.
package config

import (
	"errors"
	"log/slog"
	"time"
)

// Config is the whole file. Paths in it are absolute or relative to the
// working directory; in the file they are relative to the file.
type Config struct {
	Database  Database   `yaml:"database"`
	HTTP      HTTP       `yaml:"http"`
	Log       Log        `yaml:"log"`
	Scheduler Scheduler  `yaml:"scheduler"`
	Rotation  Rotation   `yaml:"rotation"`
	History   History    `yaml:"history"`
	Reconcile Reconcile  `yaml:"reconcile"`
	Providers []Provider `yaml:"providers"`
	CoSigners []CoSigner `yaml:"cosigners"`
}

// Database is where policies and history live. The URLs are secrets because
// they may hold a password.
type Database struct {
	URL     Secret `yaml:"url"`
	URLFile string `yaml:"url_file"`
	// MigrateURL is the login of the role that owns the schema. Never unset
	// when URL is set.
	MigrateURL     Secret `yaml:"migrate_url"`
	MigrateURLFile string `yaml:"migrate_url_file"`
	AutoMigrate    bool   `yaml:"auto_migrate"`
	MaxConnections int    `yaml:"max_connections"`
}

// HTTP is the listener of console, API, health and metrics.
type HTTP struct {
	Listen string `yaml:"listen"`
	// WebConfigFile is the exporter-toolkit's file for TLS and basic
	// authentication; empty only when Listen is a loopback address.
	WebConfigFile string `yaml:"web_config_file"`
}

// Log is how the daemon logs to standard error.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format string     `yaml:"format"` // LogJSON or LogText
}

// The values of log.format.
const (
	LogJSON = "json"
	LogText = "text"
)

// Scheduler is the discovery and claiming of due wallets.
type Scheduler struct {
	MinInterval       time.Duration `yaml:"min_interval"`
	PollInterval      time.Duration `yaml:"poll_interval"`
	HeartbeatInterval time.Duration `yaml:"heartbeat_interval"`
	HeartbeatTimeout  time.Duration `yaml:"heartbeat_timeout"`
	LookAhead         int           `yaml:"look_ahead"`
	Workers           int           `yaml:"workers"`
	ShutdownGrace     time.Duration `yaml:"shutdown_grace"`
	// MaxRotationsPerHour is for everything that begins, on all replicas; zero:
	// no limit.
	MaxRotationsPerHour int `yaml:"max_rotations_per_hour"`
}

// Rotation is the time limits of one rotation.
type Rotation struct {
	CallTimeout          time.Duration `yaml:"call_timeout"`
	CeremonyTimeout      time.Duration `yaml:"ceremony_timeout"`
	CommitAttentionAfter time.Duration `yaml:"commit_attention_after"`
	QuietTime            time.Duration `yaml:"quiet_time"`
	Backoff              Backoff       `yaml:"backoff"`
	ApprovalTimeout      time.Duration `yaml:"approval_timeout"`
	Circuit              Circuit       `yaml:"circuit"`
}

// Circuit is the breaker that each provider has, one for all replicas.
type Circuit struct {
	// Failures in a row that open it.
	Failures int `yaml:"failures"`
	// Pause before the first probe; it doubles up to MaxPause.
	Pause    time.Duration `yaml:"pause"`
	MaxPause time.Duration `yaml:"max_pause"`
}

// Backoff is the wait between attempts, doubling from Initial to Max.
type Backoff struct {
	Initial time.Duration `yaml:"initial"`
	Max     time.Duration `yaml:"max"`
}

// Reconcile is the comparison of all wallets with vendors and co-signers.
type Reconcile struct {
	// Schedule as in a policy, in UTC; empty: none.
	Schedule string `yaml:"schedule"`
	// LimitShare is how much of a provider's rate limits it may use, in percent.
	LimitShare int `yaml:"limit_share"`
}

// History is what the daemon does about the share set history by itself.
type History struct {
	// VerifyInterval is from one verification in the background to the next;
	// zero: none.
	VerifyInterval time.Duration `yaml:"verify_interval"`
}

// Provider is one account at a vendor.
type Provider struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"` // TypeDynamic or TypeCobo
	// Of these the one that fits Type is not nil. Its keys stand beside name and
	// type in the file.
	Dynamic *Dynamic `yaml:",inline" when:"dynamic"`
	Cobo    *Cobo    `yaml:",inline" when:"cobo"`
}

// The values of type of a provider.
const (
	TypeDynamic = "dynamic"
	TypeCobo    = "cobo"
)

// Dynamic is an environment at Dynamic.
type Dynamic struct {
	BaseURL                 string      `yaml:"base_url"`
	EnvironmentID           string      `yaml:"environment_id"`
	APIToken                Secret      `yaml:"api_token"`
	APITokenFile            string      `yaml:"api_token_file"`
	Auth                    string      `yaml:"auth"` // AuthTokenExchange or AuthServer
	SigningProof            Secret      `yaml:"signing_proof"`
	SigningProofFile        string      `yaml:"signing_proof_file"`
	RequireCeremonyComplete bool        `yaml:"require_ceremony_complete"`
	RateLimits              []RateLimit `yaml:"rate_limits"` // empty: none
	// CoSigner is the default co-signer of its wallets. Never empty: when the
	// file has one co-signer only, that is filled in.
	CoSigner string `yaml:"cosigner"`
}

// The values of auth of a Dynamic provider.
const (
	AuthTokenExchange = "token_exchange"
	AuthServer        = "server"
)

// Cobo is an organisation at Cobo.
type Cobo struct {
	BaseURL       string `yaml:"base_url"`
	APISecret     Secret `yaml:"api_secret"`
	APISecretFile string `yaml:"api_secret_file"`
	// ResponsePublicKey is empty only when BaseURL is one of the vendor's own
	// environments, whose keys are known.
	ResponsePublicKey         string        `yaml:"response_public_key"`
	TSSNodes                  []string      `yaml:"tss_nodes"`
	OriginalMainGroupHandling string        `yaml:"original_main_group_handling"` // ConvertToSigningGroup or Invalidate
	RetireGrace               time.Duration `yaml:"retire_grace"`                 // zero: none
	RefreshOtherGroups        bool          `yaml:"refresh_other_groups"`
	ApprovalAttention         time.Duration `yaml:"approval_attention"`
	RateLimits                []RateLimit   `yaml:"rate_limits"` // empty: none
}

// The values of original_main_group_handling: the vendor's words, written as
// everything is in this file.
const (
	ConvertToSigningGroup = "convert_to_signing_group"
	Invalidate            = "invalidate"
)

// CoboEnvironments are the base URLs whose response_public_key is known.
var CoboEnvironments = []string{"https://api.cobo.com/v2", "https://api.dev.cobo.com/v2"}

// RateLimit allows so many requests in any time of length Per, for one replica.
type RateLimit struct {
	Requests int           `yaml:"requests"`
	Per      time.Duration `yaml:"per"`
}

// CoSigner is how to reach a holder of the customer's key shares.
type CoSigner struct {
	Name      string `yaml:"name"`
	URL       string `yaml:"url"`
	Token     Secret `yaml:"token"`
	TokenFile string `yaml:"token_file"`
	TLS       TLS    `yaml:"tls"`
}

// TLS names the PEM files of a connection. CertFile and KeyFile are both given
// or both empty.
type TLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// Default is what an empty file gives. The reasons for the numbers are in
// config.example.yaml.
func Default() *Config {
	return &Config{
		Database: Database{MaxConnections: 10},
		HTTP:     HTTP{Listen: "127.0.0.1:9464"},
		Log:      Log{Level: slog.LevelInfo, Format: LogJSON},
		Scheduler: Scheduler{
			MinInterval:       time.Hour,
			PollInterval:      30 * time.Second,
			HeartbeatInterval: 5 * time.Second,
			HeartbeatTimeout:  30 * time.Second,
			LookAhead:         5000,
			Workers:           64,
			ShutdownGrace:     30 * time.Second,
		},
		Rotation: Rotation{
			CallTimeout:          10 * time.Second,
			CeremonyTimeout:      2 * time.Minute,
			CommitAttentionAfter: time.Minute,
			QuietTime:            time.Minute,
			Backoff:              Backoff{Initial: 5 * time.Second, Max: 15 * time.Minute},
			ApprovalTimeout:      24 * time.Hour,
			Circuit:              Circuit{Failures: 5, Pause: 30 * time.Second, MaxPause: 15 * time.Minute},
		},
		History:   History{VerifyInterval: 24 * time.Hour},
		Reconcile: Reconcile{Schedule: "@daily", LimitShare: 25},
	}
}

func (d *Dynamic) setDefaults() {
	*d = Dynamic{
		BaseURL: "https://app.dynamicauth.com",
		Auth:    AuthTokenExchange,
		// www.dynamic.xyz/docs, platform/rate-limits: for one address, whichever
		// is reached first.
		RateLimits: []RateLimit{
			{Requests: 60, Per: 10 * time.Second},
			{Requests: 250, Per: time.Minute},
			{Requests: 500, Per: 5 * time.Minute},
		},
	}
}

func (c *Cobo) setDefaults() {
	*c = Cobo{
		BaseURL:                   CoboEnvironments[0],
		OriginalMainGroupHandling: ConvertToSigningGroup,
		RetireGrace:               24 * time.Hour,
		ApprovalAttention:         10 * time.Minute,
		RateLimits:                []RateLimit{{Requests: 600, Per: time.Minute}},
	}
}

// ReadyToServe says what the daemon needs beyond a file without mistakes. The
// commands that need no database or no provider do not ask.
func (c *Config) ReadyToServe() error {
	var errs []error
	if !c.Database.URL.IsSet() {
		errs = append(errs, errors.New("database.url or database.url_file is missing: name the PostgreSQL database that replicas share"))
	}
	if len(c.Providers) == 0 {
		errs = append(errs, errors.New("providers is empty: add the account whose wallets are to be rotated"))
	}
	return errors.Join(errs...)
}
