package config

import (
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// keyHexLength is that of an Ed25519 seed and public key, 32 bytes each.
const keyHexLength = 64

// tssNode is what the id of a TSS node looks like, generously: "cobo" and
// base58.
var tssNode = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func cobo(p *Cobo, r *Rotation, d *decoder, key string) {
	p.BaseURL = d.baseURL(key+"base_url", p.BaseURL, CoboEnvironments[0])
	if u, err := url.Parse(p.BaseURL); err == nil && p.BaseURL != "" && !strings.HasSuffix(u.Path, "/v2") {
		d.bad(key+"base_url", "it does not end in /v2, the version of the API that is spoken here: add that")
	}
	d.token(key+"api_secret", p.APISecret, true)
	if p.APISecret.IsSet() && !isKey(strings.TrimSpace(p.APISecret.Reveal())) {
		// Not quoted: it is a secret.
		d.bad(d.given(key+"api_secret"), "it is not the secret of an Ed25519 API key: write its 64 hex digits")
	}
	switch {
	case p.ResponsePublicKey != "" && !isKey(p.ResponsePublicKey):
		// Not quoted: the secret beside it looks alike.
		d.bad(key+"response_public_key", "it is not an Ed25519 public key: write its 64 hex digits, or take the key out where base_url is the vendor's own")
	case p.ResponsePublicKey == "" && d.has(key+"response_public_key"):
		d.bad(key+"response_public_key", "it is empty: fill it in, or take the key out")
	case d.failed[key+"base_url"]: // it decides whether one is needed
	case p.ResponsePublicKey == "" && !slices.Contains(CoboEnvironments, p.BaseURL):
		d.bad(key+"response_public_key", "it is missing, and known only for %s: write the 64 hex digits that base_url signs its answers with",
			strings.Join(CoboEnvironments, " and "))
	}
	d.tssNodes(key+"tss_nodes", p.TSSNodes)
	if p.OriginalMainGroupHandling != ConvertToSigningGroup && p.OriginalMainGroupHandling != Invalidate {
		d.bad(key+"original_main_group_handling", "%.40q is not a way to handle it: write convert_to_signing_group or invalidate", p.OriginalMainGroupHandling)
	}
	d.atLeast(key+"retire_grace", p.RetireGrace, 0)
	if p.OriginalMainGroupHandling == Invalidate && d.has(key+"retire_grace") {
		d.bad(key+"retire_grace", "with original_main_group_handling: invalidate there is nothing left to keep: take one of the two out")
	}
	if d.atLeast(key+"approval_attention", p.ApprovalAttention, time.Second) && p.ApprovalAttention >= r.ApprovalTimeout {
		d.bad(key+"approval_attention", "%s is not shorter than rotation.approval_timeout, %s: the attempt would end before anybody heard of it",
			short(p.ApprovalAttention), short(r.ApprovalTimeout))
	}
	d.rateLimits(key+"rate_limits", p.RateLimits)
}

// tssNodes judges the pool. One node is never enough, because the one that
// holds the shares now cannot hold the new ones too.
func (d *decoder) tssNodes(key string, nodes []string) {
	switch {
	case !d.has(key):
		d.bad(key, "it is missing: list the TSS nodes that may hold shares, at least two; or [] where the settings of each vault name its own")
	case len(nodes) == 1 && !d.failed[key+"[0]"]:
		d.bad(key, "one node is not enough: the one that holds shares of a vault now cannot hold the new ones beside them; list at least two")
	}
	for i, node := range nodes {
		at := key + "[" + strconv.Itoa(i) + "]"
		switch first := slices.Index(nodes, node); {
		case !tssNode.MatchString(node):
			d.bad(at, "%.80q is not the id of a TSS node: copy it from the Portal", node)
		case first < i:
			d.bad(at, "%s is in the list already: name each node once", node)
		}
	}
}

func isKey(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == keyHexLength
}
