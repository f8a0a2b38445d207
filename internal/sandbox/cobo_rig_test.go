package sandbox

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
)

// pace makes TSS requests quick.
const pace = 3 * time.Millisecond

// org is a caller that speaks Cobo's HTTP, with a signer of its own.
type org struct {
	*rig
	secret ed25519.PrivateKey
	reply  ed25519.PublicKey
	now    func() time.Time
	vault  string // the first one
}

func newOrg(t *testing.T, o Options) *org {
	t.Helper()
	if o.Vaults == 0 {
		o.Vaults = 1
	}
	if o.CoboPace == 0 {
		o.CoboPace = pace
	}
	if o.WebhookRetry == 0 {
		o.WebhookRetry = pace
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return orgOf(newRig(t, o), o.Clock)
}

func orgOf(r *rig, now func() time.Time) *org {
	r.t.Helper()
	seed, err := hex.DecodeString(r.info.Cobo.APISecret)
	if err != nil {
		r.t.Fatal(err)
	}
	reply, err := hex.DecodeString(r.info.Cobo.ResponsePublicKey)
	if err != nil {
		r.t.Fatal(err)
	}
	org := &org{rig: r, secret: ed25519.NewKeyFromSeed(seed), reply: reply, now: now}
	var vaults listed[vaultReply]
	r.want(200, org.call("GET", "?vault_type=Org-Controlled", nil), &vaults)
	org.vault = vaults.Data[0].ID
	return org
}

// call takes a path below /v2/wallets/mpc/vaults, and checks the signature of
// the answer.
func (o *org) call(method, path string, body any) answered {
	o.t.Helper()
	return o.callAt(method, "/v2/wallets/mpc/vaults"+path, body, millis(o.now()))
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func (o *org) callAt(method, path string, body any, nonce string) answered {
	o.t.Helper()
	request := o.request(method, path, "", body)
	request.Header.Del("Authorization")
	text := ""
	if request.GetBody != nil {
		reader, err := request.GetBody()
		if err != nil {
			o.t.Fatal(err)
		}
		raw, err := io.ReadAll(reader)
		if err != nil {
			o.t.Fatal(err)
		}
		text = string(raw)
	}
	plain, query, _ := strings.Cut(path, "?")
	signed := strings.Join([]string{method, plain, nonce, query, text}, "|")
	request.Header.Set("BIZ-API-KEY", o.info.Cobo.APIKey)
	request.Header.Set("BIZ-API-NONCE", nonce)
	request.Header.Set("BIZ-API-SIGNATURE", hex.EncodeToString(ed25519.Sign(o.secret, doubleHash(signed))))
	return o.send(request)
}

func (o *org) send(request *http.Request) answered {
	o.t.Helper()
	response, err := o.client.Do(request)
	if err != nil {
		return answered{err: err}
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	a := answered{response.StatusCode, response.Header, string(raw), err}
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/json") && err == nil {
		o.checkReply(a)
	}
	return a
}

// checkReply verifies an answer's signature, in both spellings of the headers.
func (o *org) checkReply(a answered) {
	o.t.Helper()
	for _, names := range [][2]string{{"BIZ-TIMESTAMP", "BIZ-RESP-SIGNATURE"}, {"BIZ_TIMESTAMP", "BIZ_RESP_SIGNATURE"}} {
		signature, err := hex.DecodeString(a.header.Get(names[1]))
		if err != nil || !ed25519.Verify(o.reply, doubleHash(a.body+"|"+a.header.Get(names[0])), signature) {
			o.t.Errorf("the answer is not signed in %s: %v, %s", names[1], a.header, a.body)
		}
	}
}

func doubleHash(text string) []byte {
	once := sha256.Sum256([]byte(text))
	twice := sha256.Sum256(once[:])
	return twice[:]
}

// The vendor's answers, read by a struct of the test's own.
type listed[T any] struct {
	Data       []T
	Pagination struct {
		Before, After string
		Total         int `json:"total_count"`
	}
}

type vaultReply struct {
	ID          string `json:"vault_id"`
	Name, Type  string
	RootPubkeys []struct {
		Curve      string
		RootPubkey string `json:"root_pubkey"`
	} `json:"root_pubkeys"`
	Created int64 `json:"created_timestamp"`
}

type groupReply struct {
	ID   string `json:"key_share_holder_group_id"`
	Type string
	Keys []struct {
		ID         string `json:"tss_key_share_group_id"`
		Curve      string
		RootPubkey string `json:"root_pubkey"`
	} `json:"tss_key_share_groups"`
	Holders []holderReply `json:"key_share_holders"`

	Participants, Threshold int
	Status                  string
	Created                 int64 `json:"created_timestamp"`
}

type holderReply struct {
	Name, Type string
	NodeID     string `json:"tss_node_id"`
	Online     bool
	Signer     bool
	Status     string
}

type requestReply struct {
	ID     string `json:"tss_request_id"`
	Source *struct {
		ID    string   `json:"key_share_holder_group_id"`
		Nodes []string `json:"tss_node_ids"`
	} `json:"source_key_share_holder_group"`
	Target                    string `json:"target_key_share_holder_group_id"`
	Type, Status, Description string
	Created                   int64 `json:"created_timestamp"`
}

// errorCode of an answer, which must have a message and an id.
func (o *org) errorCode(a answered) int {
	o.t.Helper()
	var body struct {
		Code    int    `json:"error_code"`
		Message string `json:"error_message"`
		ID      string `json:"error_id"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Message == "" || body.ID == "" {
		o.t.Errorf("%s is no error of the vendor's", a.body)
	}
	return body.Code
}

// refused checks status and code.
func (o *org) refused(status, code int, a answered) {
	o.t.Helper()
	if a.err != nil || a.status != status || o.errorCode(a) != code {
		o.t.Errorf("status %d, error %v, body %s; want status %d, code %d", a.status, a.err, a.body, status, code)
	}
}

// state of the first vault: wallets at Dynamic come before it.
func (o *org) truth() WalletState {
	o.t.Helper()
	state, ok := o.WalletState(o.vault)
	if !ok {
		o.t.Fatal("no state of the vault")
	}
	return state
}

func (o *org) main() groupReply {
	o.t.Helper()
	var main []groupReply
	for _, g := range o.groups() {
		if g.Type == cobo.MainGroup && g.Status == cobo.StatusValid {
			main = append(main, g)
		}
	}
	if len(main) != 1 {
		o.t.Fatalf("%d Valid Main Groups", len(main))
	}
	return main[0]
}

func (o *org) groups() []groupReply {
	o.t.Helper()
	var list listed[groupReply]
	o.want(200, o.call("GET", "/"+o.vault+"/key_share_holder_groups?limit=50", nil), &list)
	return list.Data
}

func (o *org) group(id string) groupReply {
	o.t.Helper()
	var g groupReply
	o.want(200, o.call("GET", "/"+o.vault+"/key_share_holder_groups/"+id, nil), &g)
	return g
}

func (o *org) tss(id string) requestReply {
	o.t.Helper()
	var q requestReply
	o.want(200, o.call("GET", "/"+o.vault+"/tss_requests/"+id, nil), &q)
	return q
}

// newGroupBody asks for a 2-of-2 group of Cobo and one node.
func newGroupBody(name, node string) map[string]any {
	return map[string]any{"key_share_holder_group_type": "SigningGroup", "participants": 2, "threshold": 2,
		"key_share_holders": []map[string]any{{"name": name, "type": "API", "tss_node_id": node, "signer": true}}}
}

// create makes a Signing Group on a node.
func (o *org) create(name, node string) groupReply {
	o.t.Helper()
	var g groupReply
	o.want(201, o.tryCreate(newGroupBody(name, node)), &g)
	return g
}

func (o *org) tryCreate(body map[string]any) answered {
	o.t.Helper()
	return o.call("POST", "/"+o.vault+"/key_share_holder_groups", body)
}

// free is a node of the customer's that holds no key of the vault.
func (o *org) free() string {
	o.t.Helper()
	busy := map[string]bool{}
	for _, g := range o.groups() {
		for _, h := range g.Holders {
			busy[h.NodeID] = true
		}
	}
	for _, id := range o.info.Cobo.TSSNodes {
		if !busy[id] {
			return id
		}
	}
	o.t.Fatal("no node is free")
	return ""
}

func (o *org) tryReshare(source, target groupReply, description string) answered {
	o.t.Helper()
	nodes := []string{}
	for _, h := range source.Holders {
		nodes = append(nodes, h.NodeID)
	}
	return o.call("POST", "/"+o.vault+"/tss_requests", map[string]any{
		"type": "KeyGenFromKeyGroup", "target_key_share_holder_group_id": target.ID, "description": description,
		"source_key_share_holder_group": map[string]any{"key_share_holder_group_id": source.ID, "tss_node_ids": nodes},
	})
}

// reshare asks for the Main Group's key in a group.
func (o *org) reshare(target groupReply, description string) requestReply {
	o.t.Helper()
	var q requestReply
	o.want(201, o.tryReshare(o.main(), target, description), &q)
	return q
}

// await polls a TSS request until it has a status.
func (o *org) await(q requestReply, status string) requestReply {
	o.t.Helper()
	var got requestReply
	o.eventually(status, func() bool {
		got = o.tss(q.ID)
		return got.Status == status
	})
	return got
}

// prepared makes a group with the vault's key on a free node.
func (o *org) prepared() groupReply {
	o.t.Helper()
	g := o.create("server", o.free())
	o.await(o.reshare(g, "rotation"), cobo.Success)
	return o.group(g.ID)
}

func (o *org) upgrade(id, handling string) answered {
	o.t.Helper()
	body := map[string]string{"update_key_share_holder_group_action": "UpgradeToMainGroup"}
	if handling != "" {
		body["original_main_group_handling"] = handling
	}
	return o.call("PUT", "/"+o.vault+"/key_share_holder_groups/"+id, body)
}

func (o *org) delete(id string) answered {
	o.t.Helper()
	return o.call("POST", "/"+o.vault+"/key_share_holder_groups/"+id+"/delete", nil)
}

func (o *org) cancel(q requestReply) answered {
	o.t.Helper()
	return o.call("POST", "/"+o.vault+"/tss_requests/"+q.ID+"/cancel", nil)
}

// online takes a node off the network, or brings it back, the way a test over
// HTTP would.
func (o *org) online(node string, online bool) {
	o.t.Helper()
	o.want(204, o.do("PATCH", "/_sandbox/cobo/nodes/"+node, "", map[string]bool{"online": online}), nil)
}
