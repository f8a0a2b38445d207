package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/store"
)

// The commands that steer tell apart that the daemon refused, or did not answer
// in time, and that nothing was asked of it.
const codeRefused = codeFailed

// reach is what a command that steers takes for its target.
type reach struct {
	verb                  string // such as "pause"
	policy, provider, all bool   // besides a wallet
}

// steering are the flags that the commands which steer have in common.
type steering struct {
	reach
	path, url string
	everyone  bool // --all
	o         app.SteerOptions
}

// addSteering gives a command these flags, but for --wait and --yes.
func addSteering(cmd *cobra.Command, r reach, needsReason bool) *steering {
	s := &steering{reach: r}
	f := cmd.Flags()
	t := &s.o.Target
	f.Int64Var(&t.WalletID, "wallet", 0, "the wallet of this `ID`")
	f.StringVar(&t.Provider, "provider", "", "with --external-id: `NAME` of the wallet's provider"+either(r.provider, "; without it: all wallets of the provider"))
	f.StringVar(&t.ExternalID, "external-id", "", "with --provider: the `ID` that the vendor has for the wallet")
	if r.policy {
		f.StringVar(&t.Policy, "policy", "", "the policy of this `NAME`")
	}
	if r.all {
		f.BoolVar(&s.everyone, "all", false, "everything")
	}
	f.StringVar(&s.o.Actor, "actor", "", "`WHO` asks; if not given, the user of this machine as "+defaultActor("USER", "HOST"))
	f.StringVar(&s.o.Reason, "reason", "", "`WHY`"+either(needsReason, "; it must be given"))
	if needsReason {
		if err := cmd.MarkFlagRequired("reason"); err != nil {
			panic(err) // there is such a flag
		}
	}
	f.StringVar(&s.path, "config", "", "the configuration `FILE`, of which only the section database is read")
	f.StringVar(&s.url, "database-url", "", "`URL` of the database, with the login of an operator, instead of the configuration's")
	return s
}

func either(so bool, text string) string {
	if so {
		return text
	}
	return ""
}

// settle checks what the flags say between each other, fills in who asks, and
// finds the database.
func (s *steering) settle(cmd *cobra.Command) error {
	if err := s.target(); err != nil {
		return wrongUse(err)
	}
	switch {
	case cmd.Flags().Changed("reason") && strings.TrimSpace(s.o.Reason) == "":
		return wrongUse(errors.New("--reason is empty: say why"))
	case s.o.Wait < 0:
		return wrongUse(errors.New("--wait is negative: write how long, such as 1m"))
	case s.path == "" && s.url == "":
		return wrongUse(errors.New("which database? give --config or --database-url"))
	}
	if s.o.Actor == "" {
		s.o.Actor = thisPerson()
	}
	if s.o.DatabaseURL = s.url; s.url != "" {
		return nil
	}
	url, err := config.LoadDatabase(s.path)
	if err != nil {
		return wrongUse(err)
	}
	if !url.IsSet() {
		return wrongUse(fmt.Errorf("%s names no database: set database.url, or give --database-url", s.path))
	}
	s.o.DatabaseURL = url.Reveal()
	return nil
}

// target checks that the flags name exactly one.
func (s *steering) target() error {
	t := s.o.Target
	named := 0
	for _, given := range []bool{t.WalletID != 0, t.Provider != "" || t.ExternalID != "", t.Policy != "", s.everyone} {
		if given {
			named++
		}
	}
	switch {
	case t.WalletID < 0:
		return errors.New("the id of a wallet is a positive number")
	case t.ExternalID != "" && t.Provider == "", t.Provider != "" && t.ExternalID == "" && !s.reach.provider:
		return errors.New("--provider and --external-id name a wallet together: give both")
	case named > 1:
		return fmt.Errorf("there is more than one target: give %s", s.targets())
	case named == 0:
		return fmt.Errorf("what to %s? give %s", s.verb, s.targets())
	}
	return nil
}

// targets are the flags for one.
func (s *steering) targets() string {
	list := []string{"--wallet", "--provider with --external-id"}
	if s.reach.policy {
		list = append(list, "--policy")
	}
	if s.reach.provider {
		list = append(list, "--provider alone")
	}
	if s.reach.all {
		list = append(list, "--all")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// couldNot is the exit code of what was not asked of the daemon at all.
func couldNot(ctx context.Context, err error) error {
	if stopped, early := interruption(ctx); early {
		return &exit{stopped.exitCode(), err}
	}
	if errors.Is(err, store.ErrMayNot) {
		err = fmt.Errorf("%w; give --database-url", err)
	}
	return wrongUse(err)
}

// thisPerson is who asks, where nobody is named.
func thisPerson() string {
	name, host := "unknown", "unknown-host"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return defaultActor(name, host)
}

func defaultActor(user, host string) string { return user + "@" + host }
