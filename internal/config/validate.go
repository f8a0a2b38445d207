package config

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"time"
)

// validate asks the rules that values must keep between each other. Every rule
// has a fixture in testdata.
func validate(c *Config, d *decoder) {
	database(&c.Database, d)
	listener(&c.HTTP, d)
	if c.Log.Format != LogJSON && c.Log.Format != LogText {
		d.bad("log.format", "%.40q is not a format: write json or text", c.Log.Format)
	}
	scheduler(&c.Scheduler, d)
	rotation(&c.Rotation, &c.Scheduler, d)
	if c.History.VerifyInterval != 0 {
		d.atLeast("history.verify_interval", c.History.VerifyInterval, time.Second)
	}
	d.between("reconcile.limit_share", c.Reconcile.LimitShare, 1, 100)
	coSigners(c.CoSigners, d)
	providers(c, d)
}

func database(c *Database, d *decoder) {
	if c.MigrateURL.IsSet() && !c.URL.IsSet() && !d.failed["database.url"] && !d.failed["database.url_file"] {
		d.bad("database.migrate_url", "it is given without database.url: that is the one the daemon works with")
	}
	// A replica holds one connection for notifications, one for its heartbeat,
	// and one for each of its recorders.
	d.between("database.max_connections", c.MaxConnections, 5, 1000)
}

func listener(c *HTTP, d *decoder) {
	c.WebConfigFile = d.readable("http.web_config_file", c.WebConfigFile)
	host, port, err := net.SplitHostPort(c.Listen)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		d.bad("http.listen", "%.80q is not an address: write host and port, such as 127.0.0.1:9464", c.Listen)
		return
	}
	if !loopback(host) && c.WebConfigFile == "" {
		d.bad("http.listen", "%.80q can be reached from other machines: set http.web_config_file for TLS and passwords, or listen on 127.0.0.1", c.Listen)
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func scheduler(c *Scheduler, d *decoder) {
	d.atLeast("scheduler.min_interval", c.MinInterval, time.Second)
	if d.atLeast("scheduler.poll_interval", c.PollInterval, 100*time.Millisecond) && c.PollInterval > 30*time.Second {
		d.bad("scheduler.poll_interval", "%s is too long: write at most 30s, because notifications of an edit get lost behind connection poolers", short(c.PollInterval))
	}
	d.atLeast("scheduler.heartbeat_interval", c.HeartbeatInterval, 100*time.Millisecond)
	if least := 3 * c.HeartbeatInterval; c.HeartbeatTimeout < least {
		d.bad("scheduler.heartbeat_timeout", "%s is less than three heartbeat_interval of %s: write at least %s, or one lost heartbeat costs a takeover",
			short(c.HeartbeatTimeout), short(c.HeartbeatInterval), short(least))
	}
	d.between("scheduler.look_ahead", c.LookAhead, 1, 100_000)
	d.between("scheduler.workers", c.Workers, 1, 10_000)
	d.atLeast("scheduler.shutdown_grace", c.ShutdownGrace, 0)
	d.between("scheduler.max_rotations_per_hour", c.MaxRotationsPerHour, 0, 10_000_000)
}

func rotation(c *Rotation, s *Scheduler, d *decoder) {
	d.atLeast("rotation.call_timeout", c.CallTimeout, 100*time.Millisecond)
	// A call may start just before a heartbeat and must end while the replica
	// still counts as alive.
	if left := s.HeartbeatTimeout - s.HeartbeatInterval; c.CallTimeout > left {
		d.bad("rotation.call_timeout", "%s is longer than heartbeat_timeout less heartbeat_interval, %s: a call could outlive the replica's claim; write at most that, or a longer heartbeat_timeout",
			short(c.CallTimeout), short(left))
	}
	d.atLeast("rotation.ceremony_timeout", c.CeremonyTimeout, time.Second)
	d.atLeast("rotation.commit_attention_after", c.CommitAttentionAfter, time.Second)
	if c.QuietTime < c.CallTimeout {
		d.bad("rotation.quiet_time", "%s is shorter than call_timeout, %s: the lost call could still take effect; write at least that", short(c.QuietTime), short(c.CallTimeout))
	}
	d.atLeast("rotation.backoff.initial", c.Backoff.Initial, 100*time.Millisecond)
	if c.Backoff.Max < c.Backoff.Initial {
		d.bad("rotation.backoff.max", "%s is shorter than initial, %s: write at least that", short(c.Backoff.Max), short(c.Backoff.Initial))
	}
	d.atLeast("rotation.approval_timeout", c.ApprovalTimeout, time.Minute)
	d.between("rotation.circuit.failures", c.Circuit.Failures, 1, 1000)
	d.atLeast("rotation.circuit.pause", c.Circuit.Pause, time.Second)
	if c.Circuit.MaxPause < c.Circuit.Pause {
		d.bad("rotation.circuit.max_pause", "%s is shorter than pause, %s: write at least that", short(c.Circuit.MaxPause), short(c.Circuit.Pause))
	}
}

func (d *decoder) atLeast(key string, got, least time.Duration) bool {
	if got < least {
		d.bad(key, "%s is too short: write at least %s", short(got), short(least))
	}
	return got >= least
}

func (d *decoder) between(key string, got, least, most int) {
	if got < least || got > most {
		d.bad(key, "%d is out of range: write %d to %d", got, least, most)
	}
}

// plainName fits a metric label and a part of a URL; rotation_policies has the
// same rule.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// name judges the name of a list entry; seen holds the lines of the names so
// far.
func (d *decoder) name(key, got string, seen map[string]int) {
	switch first, twice := seen[got]; {
	case got == "":
		d.bad(key, "it is missing: give the entry a name")
	case !plainName.MatchString(got):
		d.bad(key, "%.80q is not a name: write up to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit", got)
	case twice:
		d.bad(key, "%q is taken by the entry in line %d: names must differ", got, first)
	default:
		seen[got] = d.lineOf(key)
	}
}

// readable makes the path of a file absolute or relative to the working
// directory, and checks that there is one.
func (d *decoder) readable(key, path string) string {
	if path == "" {
		if d.has(key) {
			d.bad(key, "it is empty: fill it in, or take the key out")
		}
		return ""
	}
	path = d.path(path)
	if err := regularFile(path); err != nil {
		d.bad(key, "cannot read %s: %s", path, err)
	}
	return path
}
