package app

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/azure"
	"github.com/identitymesh/okta-connector/secrets/oskey"
	"github.com/identitymesh/okta-connector/secrets/vault"
)

// Environment variables of the secrets. The vendors' own are read by their libraries:
// VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT …, AZURE_TENANT_ID,
// AZURE_CLIENT_ID ….
const (
	// EnvSecrets is where secrets are kept: table (the default), env, files, vault, azure.
	EnvSecrets = "IDENTITYMESH_SECRETS"

	// EnvKeyFile is the file that seals im_secrets.
	EnvKeyFile = "IDENTITYMESH_KEY_FILE"
	// EnvKey is the keyset that seals im_secrets, in the place of a file.
	EnvKey = "IDENTITYMESH_KEY"
	// EnvKeyStore is what keeps that keyset: file (the default) or os, the operating
	// system's credential store.
	EnvKeyStore = "IDENTITYMESH_KEY_STORE"

	// EnvFilesDir is the folder of the backend files.
	EnvFilesDir = "IDENTITYMESH_SECRETS_DIR"

	// EnvVaultMount and EnvVaultPrefix say where in Vault the references begin, and
	// EnvVaultField which field of a secret is read.
	EnvVaultMount  = "IDENTITYMESH_VAULT_MOUNT"
	EnvVaultPrefix = "IDENTITYMESH_VAULT_PREFIX"
	EnvVaultField  = "IDENTITYMESH_VAULT_FIELD"
	// EnvVaultAuth is how to log in: token (the default), approle or kubernetes. The
	// others are what those methods need.
	EnvVaultAuth         = "IDENTITYMESH_VAULT_AUTH"
	EnvVaultAuthMount    = "IDENTITYMESH_VAULT_AUTH_MOUNT"
	EnvVaultTokenFile    = "IDENTITYMESH_VAULT_TOKEN_FILE" //nolint:gosec // the name of a variable
	EnvVaultRoleID       = "IDENTITYMESH_VAULT_ROLE_ID"
	EnvVaultSecretID     = "IDENTITYMESH_VAULT_SECRET_ID"      //nolint:gosec // the name of a variable
	EnvVaultSecretIDFile = "IDENTITYMESH_VAULT_SECRET_ID_FILE" //nolint:gosec // the name of a variable
	EnvVaultRole         = "IDENTITYMESH_VAULT_ROLE"
	EnvVaultJWTFile      = "IDENTITYMESH_VAULT_JWT_FILE"

	// EnvAzureVault is the URL of the Azure Key Vault, by the name that Azure's samples use.
	EnvAzureVault = "AZURE_KEYVAULT_URL"
)

// SecretsBackend is the name that $IDENTITYMESH_SECRETS gives, or the table's.
func SecretsBackend() string {
	return cmp.Or(strings.ToLower(os.Getenv(EnvSecrets)), secrets.BackendTable)
}

// OpenSecrets returns the backend that $IDENTITYMESH_SECRETS names. It reaches over no
// network: what a backend needs is read, or made, when the first secret is asked for.
// The caller closes it.
func OpenSecrets(store mesh.Secrets) (secrets.Backend, error) {
	switch name := SecretsBackend(); name {
	case secrets.BackendTable:
		return OpenTable(store)
	case secrets.BackendEnv:
		return &secrets.Env{}, nil
	case secrets.BackendFiles:
		return secrets.NewFiles(cmp.Or(os.Getenv(EnvFilesDir), secrets.DefaultFilesDir)), nil
	case secrets.BackendVault:
		return vault.Open(vault.Config{
			Mount:        os.Getenv(EnvVaultMount),
			Prefix:       os.Getenv(EnvVaultPrefix),
			Field:        os.Getenv(EnvVaultField),
			Auth:         os.Getenv(EnvVaultAuth),
			AuthMount:    os.Getenv(EnvVaultAuthMount),
			TokenFile:    os.Getenv(EnvVaultTokenFile),
			RoleID:       os.Getenv(EnvVaultRoleID),
			SecretID:     os.Getenv(EnvVaultSecretID),
			SecretIDFile: os.Getenv(EnvVaultSecretIDFile),
			Role:         os.Getenv(EnvVaultRole),
			JWTFile:      os.Getenv(EnvVaultJWTFile),
		})
	case secrets.BackendAzure:
		return azure.Open(azure.Config{VaultURL: os.Getenv(EnvAzureVault)})
	default:
		return nil, fmt.Errorf("%s is %.16q: want table, env, files, vault or azure", EnvSecrets, name)
	}
}

// OpenTable returns the secrets of the im_secrets table, whatever $IDENTITYMESH_SECRETS
// names. The key is read, or made, when the first secret needs it.
func OpenTable(store mesh.Secrets) (*secrets.TableStore, error) {
	keys, err := openKeys()
	if err != nil {
		return nil, err
	}
	return secrets.NewTableStore(SecretTable(store), keys), nil
}

// KeyPath is $IDENTITYMESH_KEY_FILE, or a file in the state folder.
func KeyPath() (string, error) {
	if p := os.Getenv(EnvKeyFile); p != "" {
		return p, nil
	}
	dir, err := StateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "secrets.key"), nil
}

// openKeys returns the key of the table. Two places at once are an error: which of them
// is meant would show only when a secret does not open.
func openKeys() (*secrets.Keys, error) {
	text, file, kind := os.Getenv(EnvKey), os.Getenv(EnvKeyFile), strings.ToLower(os.Getenv(EnvKeyStore))
	switch {
	case kind != "" && kind != "file" && kind != "os":
		return nil, fmt.Errorf("%s is %.16q: want file or os", EnvKeyStore, kind)
	case text != "" && (file != "" || kind != ""):
		return nil, fmt.Errorf("%s and %s are set: unset one, there can be only one key", EnvKey,
			map[bool]string{true: EnvKeyFile, false: EnvKeyStore}[file != ""])
	case kind == "os" && file != "":
		return nil, fmt.Errorf("%s is os, and %s is set: unset one, there can be only one key", EnvKeyStore, EnvKeyFile)
	case text != "":
		return secrets.OpenKeys(secrets.NewKeyText(EnvKey, text)), nil
	case kind == "os":
		dir, err := StateDir()
		if err != nil {
			return nil, err
		}
		return secrets.OpenKeys(oskey.Open(filepath.Join(dir, "secrets.key.lock"))), nil
	}
	path, err := KeyPath()
	if err != nil {
		return nil, err
	}
	return secrets.OpenKeys(secrets.KeyFile(path)), nil
}

// SecretTable is the im_secrets table as package secrets wants it.
func SecretTable(store mesh.Secrets) secrets.Table { return secretTable{store} }

type secretTable struct{ mesh.Secrets }

// SecretRows implements [secrets.Table].
func (t secretTable) SecretRows(ctx context.Context) ([]secrets.Row, error) {
	all, err := t.ListSecrets(ctx)
	rows := make([]secrets.Row, len(all))
	for i, s := range all {
		rows[i] = secrets.Row{Ref: s.Ref, Created: s.CreatedAt, Updated: s.UpdatedAt}
	}
	return rows, err
}

// CheckKey fails when secrets are sealed under a key that is not there: a new key would
// be made for the next one, and the others would be lost in silence.
func CheckKey(ctx context.Context, store mesh.Secrets) error {
	keys, err := openKeys()
	if err != nil || keys.Exists() {
		return err
	}
	sealed, err := store.ListSecrets(ctx)
	if err != nil || len(sealed) == 0 {
		return err
	}
	return fmt.Errorf("the %s is missing, and secrets (%d) are sealed under it: put it back (or set %s to where it is); if it is lost, delete them with `starter secret delete REF` and set them anew",
		keys, len(sealed), EnvKeyFile)
}
