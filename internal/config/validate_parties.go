package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// providers judges the accounts at vendors. A new type gets a struct in
// Provider, a case here, and a function of its own.
func providers(c *Config, d *decoder) {
	seen := map[string]int{}
	for i := range c.Providers {
		p := &c.Providers[i]
		key := "providers[" + strconv.Itoa(i) + "]."
		d.name(key+"name", p.Name, seen)
		switch p.Type {
		case TypeDynamic:
			dynamic(p.Dynamic, c.CoSigners, d, key)
		case TypeCobo:
			cobo(p.Cobo, &c.Rotation, d, key)
		case "":
			d.bad(key+"type", "it is missing: write dynamic or cobo")
		default:
			d.bad(key+"type", "%.40q is not a provider type: write dynamic or cobo", p.Type)
		}
	}
}

func dynamic(p *Dynamic, all []CoSigner, d *decoder, key string) {
	p.BaseURL = d.baseURL(key+"base_url", p.BaseURL, "https://app.dynamicauth.com")
	switch id, err := uuid.Parse(p.EnvironmentID); {
	case p.EnvironmentID == "":
		d.bad(key+"environment_id", "it is missing: copy it from the vendor's dashboard")
	case err != nil || id.String() != p.EnvironmentID:
		// Not quoted: the token beside it is easily put here by mistake.
		d.bad(key+"environment_id", "it is not an environment id: write the UUID from the vendor's dashboard, in lower case")
	}
	d.token(key+"api_token", p.APIToken, true)
	if p.Auth != AuthTokenExchange && p.Auth != AuthServer {
		d.bad(key+"auth", "%.40q is not a way to authenticate: write token_exchange or server", p.Auth)
	}
	d.token(key+"signing_proof", p.SigningProof, false)
	if p.SigningProof.IsSet() && p.Auth == AuthTokenExchange {
		d.bad(d.given(key+"signing_proof"), "it is only sent with auth: server: set that, or take the key out")
	}
	d.rateLimits(key+"rate_limits", p.RateLimits)
	p.CoSigner = d.coSigner(key+"cosigner", p.CoSigner, all)
}

func (d *decoder) rateLimits(key string, limits []RateLimit) {
	for i, limit := range limits {
		at := key + "[" + strconv.Itoa(i) + "]."
		d.between(at+"requests", limit.Requests, 2, 1_000_000)
		if limit.Per <= 0 {
			d.bad(at+"per", "it is missing or not above zero: write a time such as 1m")
		}
	}
}

// coSigner resolves the default co-signer of a provider.
func (d *decoder) coSigner(key, name string, all []CoSigner) string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	switch {
	case d.failed["cosigners"]: // they could not be read
	case len(all) == 0:
		d.bad(key, "there is no co-signer: add the one that holds the customer's key shares under cosigners")
	case name == "" && len(all) == 1:
		return names[0]
	case name == "":
		d.bad(key, "it is missing, and there are several co-signers: write one of %s", strings.Join(names, ", "))
	case !slices.Contains(names, name):
		d.bad(key, "there is no co-signer %.80q: write one of %s", name, strings.Join(names, ", "))
	}
	return name
}

func coSigners(all []CoSigner, d *decoder) {
	seen := map[string]int{}
	for i := range all {
		c := &all[i]
		key := "cosigners[" + strconv.Itoa(i) + "]."
		d.name(key+"name", c.Name, seen)
		c.URL = d.baseURL(key+"url", c.URL, "https://cosigner.internal:8443")
		d.token(key+"token", c.Token, false)
		t := &c.TLS
		encrypted := strings.HasPrefix(c.URL, "https://")
		if d.has(key+"tls") && *t != (TLS{}) && c.URL != "" && !encrypted {
			d.bad(key+"tls", "the url is plain http: write https, or take the section out")
		}
		t.CAFile = d.readable(key+"tls.ca_file", t.CAFile)
		t.CertFile = d.readable(key+"tls.cert_file", t.CertFile)
		t.KeyFile = d.readable(key+"tls.key_file", t.KeyFile)
		switch {
		case t.CertFile != "" && t.KeyFile == "":
			d.bad(key+"tls.key_file", "it is missing beside cert_file: a client certificate needs its key")
		case t.CertFile == "" && t.KeyFile != "":
			d.bad(key+"tls.cert_file", "it is missing beside key_file: a key needs its client certificate")
		case t.CertFile == "" && !c.Token.IsSet() && !d.failed[key+"token"] && !d.failed[key+"token_file"]:
			d.bad(key+"token", "it is missing: give a token, or a client certificate with tls.cert_file and tls.key_file")
		}
	}
}

// baseURL judges a URL that calls start from, and takes the last slash off. It
// is not quoted in errors, because it may carry a password by mistake.
func (d *decoder) baseURL(key, text, example string) string {
	if text == "" {
		d.bad(key, "it is missing: write a URL such as %s", example)
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		d.bad(key, "it is not a URL: write https://, a host, and a port if it needs one")
	case u.User != nil:
		d.bad(key, "it carries a user or password: take them out, they have keys of their own")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		d.bad(key, "it has something after a ? or #: take that out")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		d.bad(key, "plain http to another machine would show the token to everyone on the way: write https")
	}
	return strings.TrimRight(text, "/")
}

// token judges a secret that is sent as a header.
func (d *decoder) token(key string, s Secret, required bool) {
	given := d.given(key)
	switch {
	case d.failed[key] || d.failed[key+"_file"]:
	case !s.IsSet():
		if required {
			d.bad(key, "it is missing: give it, or %s_file with the path of a file that holds it", key[strings.LastIndex(key, ".")+1:])
		}
	case strings.ContainsFunc(s.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		d.bad(given, "it holds white space or other characters that cannot be sent in a header: check how it was copied")
	}
}

// given is the key under which a secret was given: its own, or that of its
// file.
func (d *decoder) given(key string) string {
	if d.has(key + "_file") {
		return key + "_file"
	}
	return key
}
