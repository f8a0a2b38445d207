package dynamic

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/seed"
)

// credential says what a route wants to see.
type credential int

const (
	apiToken credential = iota // the dyn_ token: /environments and /server
	userJWT                    // the exchanged JWT: /sdk
	either                     // /sdk locations: core in server mode sends its dyn_ token there
)

// authenticated puts the checks that every route shares before its handler:
// the environment, the credential, then the rate limit.
func (v *Vendor) authenticated(want credential, class limitClass, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if reason := v.limited(class, r); reason != nil {
			reason.write(w)
			return
		}
		environment := r.PathValue("environment")
		if !isUUID(environment) {
			refused(http.StatusBadRequest, "environmentId must be a lower-case uuid").write(w)
			return
		}
		bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !v.accepts(want, bearer) {
			refused(http.StatusUnauthorized, "Unauthorized").write(w)
			return
		}
		if environment != v.environmentID {
			forbidden("invalid_environment", "the token is not of this environment").write(w)
			return
		}
		next(w, r)
	}
}

func (v *Vendor) accepts(want credential, bearer string) bool {
	isToken := subtle.ConstantTimeCompare([]byte(bearer), []byte(v.apiToken)) == 1
	switch want {
	case apiToken:
		return isToken
	case userJWT:
		return v.jwt.valid(bearer)
	default:
		return isToken || v.jwt.valid(bearer)
	}
}

// authenticate exchanges the API token for a JWT.
func (v *Vendor) authenticate(w http.ResponseWriter, r *http.Request) {
	switch faults.From(r.Context()).Kind {
	case faults.Reject:
		refused(http.StatusUnauthorized, "Invalid API token").write(w)
		return
	case faults.LoseState:
		v.jwt.revoke()
	}
	jwt := v.jwt.issue()
	writeJSON(w, http.StatusOK, map[string]any{
		"message":     "success",
		"encodedJwts": map[string]string{"jwt": jwt, "minifiedJwt": jwt},
	})
}

func (v *Vendor) verifyAPIKey(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"environmentId": v.environmentID, "verified": true})
}

// jwtIssuer makes and checks HS256 tokens that expire and can be revoked.
type jwtIssuer struct {
	key                   []byte
	environmentID, userID string
	lifetime              time.Duration
	now                   func() time.Time

	mu      sync.Mutex
	version int // a JWT of an earlier version is revoked
}

type claims struct {
	Subject     string `json:"sub"`
	Environment string `json:"environment_id"`
	IssuedAt    int64  `json:"iat"`
	Expires     int64  `json:"exp"`
	ID          string `json:"jti"`
	Scope       string `json:"scope"`
	Version     int    `json:"ver"`
}

func newJWTIssuer(random seed.Source, environmentID, userID string, lifetime time.Duration, now func() time.Time) *jwtIssuer {
	return &jwtIssuer{key: random.Bytes(32), environmentID: environmentID, userID: userID, lifetime: lifetime, now: now}
}

func (j *jwtIssuer) revoke() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.version++
}

func (j *jwtIssuer) current() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.version
}

func (j *jwtIssuer) issue() string {
	now := j.now()
	payload, err := json.Marshal(claims{
		Subject: j.userID, Environment: j.environmentID, Scope: "waas.authenticate",
		IssuedAt: now.Unix(), Expires: now.Add(j.lifetime).Unix(), ID: uuid.NewString(), Version: j.current(),
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	encoding := base64.RawURLEncoding
	signed := encoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encoding.EncodeToString(payload)
	return signed + "." + encoding.EncodeToString(j.mac(signed))
}

func (j *jwtIssuer) mac(signed string) []byte {
	mac := hmac.New(sha256.New, j.key)
	mac.Write([]byte(signed))
	return mac.Sum(nil)
}

func (j *jwtIssuer) valid(token string) bool {
	signed, signature, ok := cutLast(token, ".")
	if !ok {
		return false
	}
	mac, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(mac, j.mac(signed)) {
		return false
	}
	_, payload, _ := strings.Cut(signed, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return false
	}
	var c claims
	if err := json.Unmarshal(text, &c); err != nil {
		return false
	}
	return j.now().Unix() < c.Expires && c.Version == j.current()
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
