package demo

// introduce tells what runs where, and what a person may want to try.
func (s *stage) introduce() {
	daemon := "http://" + s.Listener.Addr().String()
	line := s.Screen.Line
	line("")
	line("daemon    %s/  metrics %s/metrics", daemon, daemon)
	line("sandbox   %s/_sandbox/info  truth %s/_sandbox/state", s.url, s.url)
	line("database  %s", s.postgres.PsqlCommand(s.dsn))
	line("")
	line("%-10s %-12s %-8s %-10s %s", "policy", "schedule", "spread", "max age", "canary")
	for _, p := range s.policies() {
		age := "-"
		if p.maxShareAge > 0 {
			age = p.maxShareAge.String()
		}
		line("%-10s %-12s %-8s %-10s %d", p.name, p.schedule(), p.spread, age, p.canary)
	}
	line("")
	line("Policies are rows: try in psql, while this runs")
	line("  UPDATE rotation_policies SET schedule = '@every 3s' WHERE name = 'treasury';")
	line("  SELECT name, valid, error, next_runs[1], overdue FROM policy_status;")
	line("")
}
