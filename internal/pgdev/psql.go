package pgdev

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/jackc/pgx/v5"
)

// PsqlCommand is what a person types into a shell to look into the database of
// the DSN: through the socket, which needs no password. For a server given by
// URL the password is left out, since commands end up on screens and in
// histories; psql asks for it.
func (s *Server) PsqlCommand(dsn string) string {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Sprintf("# no psql for a DSN that cannot be read: %v", hidden(err))
	}
	psql, host := "psql", cfg.Host
	if s.own != nil {
		host = s.own.dir
		// A psql beside the server beats none on the PATH.
		if _, err := exec.LookPath("psql"); err != nil {
			if beside := s.own.bin.path("psql"); exists(beside) {
				psql = beside
			}
		}
	}
	return fmt.Sprintf("%s -h %s -p %d -U %s %s", shellQuote(psql), shellQuote(host), cfg.Port, shellQuote(cfg.User), shellQuote(cfg.Database))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// shellQuote quotes only what needs it, for the reader's sake.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
