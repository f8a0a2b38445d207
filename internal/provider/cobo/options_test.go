package cobo

import (
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	good := func() Options {
		return Options{Name: "cobo-test", Nodes: []string{nodeA, nodeB}, APISecret: func() (string, error) { return testSecret, nil }}
	}
	for name, change := range map[string]func(*Options){
		"no scheme":                  func(o *Options) { o.BaseURL = "api.cobo.com/v2" },
		"another scheme":             func(o *Options) { o.BaseURL = "ftp://api.cobo.com/v2" },
		"credentials":                func(o *Options) { o.BaseURL = "https://u:hunter2@api.cobo.com/v2" },
		"a query":                    func(o *Options) { o.BaseURL = "https://api.cobo.com/v2?key=hunter2" },
		"not a URL":                  func(o *Options) { o.BaseURL = "https://hunter2:%zz" },
		"unknown host, no key":       func(o *Options) { o.BaseURL = "https://cobo.example/v2" },
		"a key that is short":        func(o *Options) { o.ResponsePublicKey = "ab" },
		"a key that is not hex":      func(o *Options) { o.ResponsePublicKey = strings.Repeat("z", 64) },
		"no secret":                  func(o *Options) { o.APISecret = nil },
		"a node twice":               func(o *Options) { o.Nodes = []string{nodeA, nodeA} },
		"a node that is none":        func(o *Options) { o.Nodes = []string{"a b"} },
		"another handling":           func(o *Options) { o.MainGroupHandling = "Delete" },
		"a negative grace":           func(o *Options) { o.Grace = -1 },
		"a negative time-out":        func(o *Options) { o.CallTimeout = -1 },
		"a negative attention":       func(o *Options) { o.ApprovalAttention = -1 },
		"a rate limit of zero":       func(o *Options) { o.RateLimits = []RateLimit{{}} },
		"a rate limit without times": func(o *Options) { o.RateLimits = []RateLimit{{Per: time.Second}} },
	} {
		o := good()
		change(&o)
		_, err := New(o)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q quotes what may be a secret", name, err)
		}
	}
	for url, want := range map[string]string{
		"": "8d4a4826", ProductionURL: "8d4a4826", ProductionURL + "/": "8d4a4826", DevelopmentURL: "a04ea1d5",
	} {
		o := good()
		o.BaseURL = url
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.opts.ResponsePublicKey, want) || p.opts.CallTimeout != DefaultCallTimeout ||
			p.opts.ApprovalAttention != DefaultApprovalAttention || p.opts.MainGroupHandling != ConvertToSigningGroup || p.CoSigned() {
			t.Errorf("%q: %+v", url, p.opts)
		}
		if grace, ok := p.RetireAfter(attempt().Wallet); !ok || grace != 0 {
			t.Errorf("a grace of zero is %s, %v", grace, ok)
		}
		p.Close()
	}
}
