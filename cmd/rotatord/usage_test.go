package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadInput: one clear sentence on standard error, nothing on standard
// output, and the exit code that says whose mistake it is.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const parties = `
cosigners: [{name: vault, url: "http://127.0.0.1:1", token: s3cret}]
providers: [{name: dynamic, type: dynamic, environment_id: 6f1c7a52-3d0e-4b8e-9c41-2b7f0a5d9e13, api_token: s3cret}]
`
	empty := file("empty.yaml", "")
	typo := file("typo.yaml", "shceduler: {}\n")
	nobody := file("nobody.yaml", `database: {url: "postgres://me:s3cret@127.0.0.1:1/x"}`+parties)
	webless := file("webless.yaml", `database: {url: "postgres://me:s3cret@127.0.0.1:1/x"}`+"\nhttp: {web_config_file: typo.yaml}"+parties)

	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"fly", 2, `unknown command "fly" for "rotatord"; see rotatord --help`},
		{"--fly", 2, "unknown flag: --fly; see rotatord --help"},

		{"serve", 2, `required flag(s) "config" not set; see rotatord serve --help`},
		{"serve --config", 2, "flag needs an argument: --config; see rotatord serve --help"},
		{"serve --fly", 2, "unknown flag: --fly; see rotatord serve --help"},
		{"serve now --config " + empty, 2, `unknown command "now" for "rotatord serve"`},
		{"serve --config " + dir + "/none.yaml", 2, "none.yaml: no such file"},
		{"serve --config " + dir, 2, "is a directory"},
		{"serve --config " + typo, 2, "typo.yaml:1: shceduler"},
		{"serve --config " + nobody, 1, "PostgreSQL at 127.0.0.1:1 does not let me in"},

		{"validate", 2, `required flag(s) "config" not set`},
		{"validate --config " + dir + "/none.yaml", 2, "none.yaml: no such file"},
		{"validate --config " + typo, 2, "typo.yaml:1: shceduler"},
		{"validate --config " + webless, 2, "reading the web configuration"},

		{"migrate", 2, "which database? give --config or --database-url"},
		{"migrate --config x --database-url y", 2, "give one"},
		{"migrate --config " + empty, 2, "names no database"},
		{"migrate --database-url postgres://me:s3cret@[/x", 1, "reading the database URL"},
		{"migrate --database-url postgres://me:s3cret@127.0.0.1:1/x", 1, "PostgreSQL at 127.0.0.1:1 does not let me in"},
		{"migrate --config " + empty + " -o xml", 2, `invalid argument "xml" for "-o, --output" flag: write table or json`},

		{"wallets fly", 2, `unknown command "fly" for "rotatord wallets"; see rotatord wallets --help`},
		{"wallets sync", 2, `required flag(s) "config", "provider" not set; see rotatord wallets sync --help`},
		{"wallets sync now --config x --provider y", 2, `unknown command "now" for "rotatord wallets sync"`},
		{"wallets sync --config " + typo + " --provider dynamic", 2, "typo.yaml:1: shceduler"},
		{"wallets sync --config " + empty + " --provider dynamic", 2, "names no database"},
		{"wallets sync --config " + nobody + " --provider cobo", 2, `the configuration has no provider "cobo"`},
		{"wallets sync --config " + nobody + " --provider dynamic -o xml", 2, "write table or json"},

		{"plan", 2, "which database? give --config or --database-url"},
		{"plan a b --database-url x", 2, "accepts at most 1 arg(s), received 2"},
		{"plan --count 0 --database-url x", 2, "--count: write 1 to 1000"},
		{"plan --timezone UTC --database-url x", 2, "a proposal of what?"},
		{"plan --schedule @daily --database-url x", 2, "leave --database-url out"},
		{"plan --schedule @daily --from soon", 2, `--from: "soon" is not a time`},
		{"plan --schedule @daily --spread null", 2, "write a time such as"},
		{"plan treasury --schedule @daily", 2, "which database?"},
		{"plan --config " + empty, 2, "names no database"},
		{"plan --database-url postgres://me:s3cret@127.0.0.1:1/x", 1, "PostgreSQL at 127.0.0.1:1 does not let me in"},

		{"policies fly", 2, `unknown command "fly" for "rotatord policies"; see rotatord policies --help`},
		{"policies log", 2, "accepts 1 arg(s), received 0"},
		{"policies log treasury", 2, "which database? give --config or --database-url"},
		{"policies log treasury --last -1 --database-url x", 2, "--last is negative"},
		{"policies log treasury --database-url postgres://me:s3cret@127.0.0.1:1/x", 1, "PostgreSQL at 127.0.0.1:1 does not let me in"},
		{"policies revert treasury --to 1", 2, "which database? give --config or --database-url"},
		{"policies revert treasury --to 1 --config " + empty, 2, "names no database"},
		{"policies revert treasury --to first", 2, `invalid argument "first" for "--to" flag`},
		{"policies revert treasury --to 1 --database-url postgres://me:s3cret@127.0.0.1:1/x", 1, "PostgreSQL at 127.0.0.1:1 does not let me in"},

		{"sandbox --vaults -1", 2, "--vaults: write 0 or more"},
		{"sandbox --wallets -1", 2, "--wallets: write 0 or more"},
		{"sandbox --wallets many", 2, `invalid argument "many" for "--wallets" flag`},
		{"sandbox --assume old_share", 2, "write KEY=VALUE"},
		{"sandbox --assume weather=fine", 2, "there is no such assumption"},
		{"sandbox --assume old_share=fine", 2, `assumption old_share cannot be "fine"`},
		{"sandbox --assume old_share=signs_until_swap --assume old_share=dies_at_ceremony_end", 2, "choose one"},
		{"sandbox --listen nowhere", 1, "starting the sandbox: listening"},
		{"sandbox --listen " + taken.Addr().String(), 1, "address already in use"},
		{"sandbox --cosigner-dir " + empty, 1, "starting the co-signer"},

		{"demo --for 0s", 2, "--for: write a second or more"},
		{"demo --for soon", 2, `invalid argument "soon" for "--for" flag`},
		{"demo --wallets -1", 2, "--wallets: write 0 or more"},
		{"demo --vaults -1", 2, "--vaults: write 0 or more"},
		{"demo --wallets 0 --vaults 0", 2, "there is nothing to rotate"},
		{"demo --listen " + taken.Addr().String(), 1, "--listen: listen tcp " + taken.Addr().String()},
		{"demo --listen nowhere", 1, "--listen"},
		{"demo --database-url postgres://me:s3cret@127.0.0.1:1/x", 1, "starting PostgreSQL"},
		{"demo -o xml", 2, "write table or json"},

		{"version now", 2, `unknown command "now" for "rotatord version"`},
		{"version -o xml", 2, "write table or json"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := rotatord(t.Context(), nil, strings.Fields(c.args)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.want) {
				t.Errorf("got exit code %d and %q, want %d and %q", r.code, r.stderr, c.code, c.want)
			}
			if !strings.HasPrefix(r.stderr, "rotatord: ") || strings.Count(r.stderr, "\n") != 1 || !strings.HasSuffix(r.stderr, "\n") {
				t.Errorf("that is not one sentence: %q", r.stderr)
			}
			if strings.Contains(r.stderr, "s3cret") {
				t.Errorf("it tells a secret: %q", r.stderr)
			}
			if r.stdout != "" && !strings.HasPrefix(c.args, "demo --database-url") { // which shows that it starts
				t.Errorf("standard output is %q, want nothing", r.stdout)
			}
		})
	}
}

// TestEveryMistakeIsSaid: a file with three gets three sentences.
func TestEveryMistakeIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte("log: {level: loud}\nscheduler:\n  workers: 0\n  poll_interval: 1h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "validate"} {
		r := rotatord(t.Context(), nil, command, "--config", path)
		if r.code != 2 || strings.Count(r.stderr, "\n") != 3 {
			t.Errorf("%s: exit code %d and %q, want 2 and three lines", command, r.code, r.stderr)
		}
		for i, key := range []string{"log.level", "scheduler.workers", "scheduler.poll_interval"} {
			if want := fmt.Sprintf("%s:%d: %s", path, []int{1, 3, 4}[i], key); !strings.Contains(r.stderr, want) {
				t.Errorf("%s does not say %q: %q", command, want, r.stderr)
			}
		}
	}
}
