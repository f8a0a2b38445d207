package reference

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

const (
	journalName = "wallet.json"
	shareSuffix = ".share"
	tempSuffix  = ".tmp"
)

// disk writes files so that they are there entirely or not at all.
type disk struct {
	// sync makes a file or folder durable; with Options.NoSync it does nothing.
	sync func(*os.File) error
	// at is called between the steps with the step's name. It does nothing in
	// production; a test dies there.
	at func(point string)
}

// write replaces folder/name. When it returns nil the file survives a power
// failure (with NoSync: only the end of the process). On an error either the
// old or the new content is there.
func (d disk) write(folder, name string, content []byte) error {
	kind := filepath.Ext(name)
	temp := filepath.Join(folder, name+tempSuffix)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	d.at("created" + kind)
	_, err = f.Write(content)
	d.at("written" + kind)
	if err == nil {
		err = d.sync(f)
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	d.at("synced" + kind)
	if err := os.Rename(temp, filepath.Join(folder, name)); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	d.at("renamed" + kind)
	if err := d.syncFolder(folder); err != nil {
		return err
	}
	d.at("durable" + kind)
	return nil
}

// remove takes a file away; that it is gone already is fine.
func (d disk) remove(folder, name string) error {
	if err := os.Remove(filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeFolder makes parent/name durable.
func (d disk) makeFolder(parent, name string) error {
	if err := os.Mkdir(filepath.Join(parent, name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.syncFolder(parent)
}

func (d disk) syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.sync(f), f.Close())
}

// folderName is safe for any provider and wallet, and different for different
// pairs, whatever the file system thinks of upper case or Unicode.
func folderName(provider, wallet string) string {
	hash := sha256.New()
	for _, part := range []string{provider, wallet} {
		// Length first, so that ("a", "bc") is not ("ab", "c").
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write([]byte(part))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// shareRef names one share. Two ceremonies may lead to the same share set,
// where the vendor answers a second refresh with the set that is pending
// already; their shares differ, and neither may overwrite the other.
type shareRef struct {
	ShareSetID string    `json:"share_set_id"`
	CeremonyID uuid.UUID `json:"ceremony_id"` // nil UUID: imported
}

func (r shareRef) fileName() string {
	sum := sha256.Sum256([]byte(r.ShareSetID))
	return fmt.Sprintf("%x.%s%s", sum[:16], r.CeremonyID, shareSuffix)
}
