package cosigner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

// Bounds on what an answer may put into our tables and texts.
const (
	maxText      = 512  // a share set id, an address, a fingerprint
	maxKeygenIDs = 100  // Dynamic's own limit for its keygen ids
	maxPrepared  = 1000 // far more attempts than anybody allows
)

// expectation is what an answer must be about.
type expectation struct {
	id          uuid.UUID
	shareSet    string  // empty: not known to the asker
	fingerprint string  // empty: not known to the asker
	states      []State // empty: any
}

// check refuses an answer that is about something else than was asked. A
// success status with such an answer is worse than an error.
func (e expectation) check(s Status) error {
	switch {
	case s.CeremonyID != e.id:
		return errors.New("it is about another ceremony")
	case e.shareSet != "" && s.ShareSetID != e.shareSet:
		return errors.New("it is about another share set")
	case e.fingerprint != "" && s.Fingerprint != e.fingerprint:
		return errors.New("it is about another share of this share set")
	case len(e.states) > 0 && !slices.Contains(e.states, s.State):
		return fmt.Errorf("the ceremony is %s, which a success must not say here", s.State)
	}
	return nil
}

// decodeStatus reads and checks a Status by itself. Errors never quote it.
func decodeStatus(body []byte) (Status, error) {
	var s Status
	if err := decodeOne(body, &s); err != nil {
		return Status{}, err
	}
	s.Error = printable(s.Error)
	if err := checkTexts(append(slices.Clone(s.KeygenIDs), s.ShareSetID, s.Address, s.Fingerprint)...); err != nil {
		return Status{}, err
	}
	switch {
	case s.CeremonyID == uuid.Nil:
		return Status{}, errors.New("it names no ceremony")
	case s.ShareSetID == "":
		return Status{}, errors.New("it names no share set")
	case len(s.KeygenIDs) > maxKeygenIDs:
		return Status{}, errors.New("it has too many keygen ids")
	case s.PublicKey != "" && !isKey(s.PublicKey):
		return Status{}, errors.New("its public key is not lower-case hex")
	}
	switch s.State {
	case Prepared:
		// The commit point rests on these three.
		if s.Address == "" || s.PublicKey == "" || s.Fingerprint == "" {
			return Status{}, errors.New("it says prepared without address, public key and fingerprint")
		}
	case Committed:
		if s.Fingerprint == "" {
			return Status{}, errors.New("it says committed without a fingerprint")
		}
	case Running, Aborted, Failed:
	default:
		return Status{}, errors.New("it names no state of the protocol")
	}
	return s, nil
}

// decodeWalletStatus reads and checks a WalletStatus. Errors never quote it.
func decodeWalletStatus(body []byte) (WalletStatus, error) {
	var w WalletStatus
	if err := decodeOne(body, &w); err != nil {
		return WalletStatus{}, err
	}
	if err := checkTexts(append(slices.Clone(w.KeygenIDs), w.CurrentShareSetID, w.Address)...); err != nil {
		return WalletStatus{}, err
	}
	switch {
	case w.CurrentShareSetID == "" && len(w.Prepared) == 0:
		return WalletStatus{}, errors.New("it names no share; a wallet without any is a 404")
	case w.Address == "":
		return WalletStatus{}, errors.New("it has no address")
	case !isKey(w.PublicKey):
		return WalletStatus{}, errors.New("its public key is not lower-case hex")
	case len(w.KeygenIDs) > maxKeygenIDs:
		return WalletStatus{}, errors.New("it has too many keygen ids")
	case len(w.Prepared) > maxPrepared:
		return WalletStatus{}, errors.New("it has too many prepared shares")
	}
	for _, p := range w.Prepared {
		if err := checkTexts(p.ShareSetID, p.Fingerprint); err != nil {
			return WalletStatus{}, err
		}
		switch {
		case p.CeremonyID == uuid.Nil || p.ShareSetID == "" || p.Fingerprint == "":
			return WalletStatus{}, errors.New("a prepared share lacks ceremony, share set or fingerprint")
		case p.State != Prepared && p.State != Aborted:
			return WalletStatus{}, errors.New("a prepared share is neither prepared nor aborted")
		}
	}
	return w, nil
}

// decodeOne reads exactly one JSON object. Unknown fields are let through, so
// that a co-signer may be newer than we are.
func decodeOne(body []byte, into any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return errors.New("it is not a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(into); err != nil {
		return errors.New("it is not JSON of the protocol")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func checkTexts(texts ...string) error {
	for _, text := range texts {
		if len(text) > maxText || strings.ContainsFunc(text, unicode.IsControl) {
			return errors.New("one of its texts is too long or not printable")
		}
	}
	return nil
}

// isKey: at most 133 bytes, an uncompressed key on the largest curve in use.
func isKey(text string) bool {
	const hexDigits = "0123456789abcdef"
	return text != "" && len(text)%2 == 0 && len(text) <= 266 && strings.Trim(text, hexDigits) == ""
}

// printable makes the co-signer's own words fit for one line of a log.
func printable(text string) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
