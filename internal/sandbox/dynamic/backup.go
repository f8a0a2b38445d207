package dynamic

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/google/uuid"
)

// maxCiphertext is the vendor's limit for one encrypted share, in characters.
const maxCiphertext = 4096

// keyShareError is how the key share service names its errors.
type keyShareError struct {
	ErrorCode string `json:"error_code"`
	Error     string `json:"error"`
}

// storeBackup takes ciphertexts of client shares. It knows nothing of share
// sets. The wallet packages read keyShareIds, the OpenAPI has keyShares: both
// are sent. What was stored is not kept; the sandbox has no recovery.
func (v *Vendor) storeBackup(w http.ResponseWriter, r *http.Request) {
	if _, refusal := v.walletByID(r.PathValue("wallet")); refusal != nil {
		refusal.write(w)
		return
	}
	var request struct {
		Encrypted         []string `json:"encryptedAccountCredentials"`
		PasswordEncrypted bool     `json:"passwordEncrypted"`
		EncryptionVersion string   `json:"encryptionVersion"`
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		tooLong(err).write(w)
		return
	}
	if err := json.Unmarshal(text, &request); err != nil || len(request.Encrypted) == 0 {
		writeJSON(w, http.StatusBadRequest, keyShareError{"invalid_request", "encryptedAccountCredentials is required"})
		return
	}
	var ids []string
	var shares []backup
	for _, ciphertext := range request.Encrypted {
		if ciphertext == "" || len(ciphertext) > maxCiphertext {
			writeJSON(w, http.StatusBadRequest, keyShareError{"invalid_key_shares_length", "a key share is empty or too long"})
			return
		}
		id := uuid.NewString()
		ids = append(ids, id)
		shares = append(shares, backup{
			ID: id, BackupLocation: "dynamic", PasswordEncrypted: request.PasswordEncrypted, ExternalKeyShare: id,
		})
	}
	writeJSON(w, http.StatusCreated, map[string]any{"keyShareIds": ids, "keyShares": shares})
}
