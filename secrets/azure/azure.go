// Package azure reads secrets from Azure Key Vault.
//
// It logs in with Azure's default credential chain: the AZURE_… variables of a service
// principal, workload identity, managed identity, then the tools of a developer's
// machine. AZURE_TOKEN_CREDENTIALS narrows it ("prod" leaves the tools out).
package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/identitymesh/okta-connector/secrets"
)

// maxName is the longest name of a secret in a Key Vault.
const maxName = 127

// maxAnswer bounds an answer: Key Vault's own limit of a value is 25 kB.
const maxAnswer = 1 << 20

// Config is which Key Vault is read.
type Config struct {
	VaultURL string // such as https://contoso.vault.azure.net

	// The rest is for tests: nil and false mean Azure itself.
	transport policy.Transporter
	local     bool   // the Key Vault and the authority are stand-ins on a local address
	authority string // in the place of AZURE_AUTHORITY_HOST
	timeout   time.Duration
}

// KeyVault is a [secrets.Backend].
type KeyVault struct {
	cfg    Config
	client *azsecrets.Client
}

var _ secrets.Backend = (*KeyVault)(nil)

// Open checks the configuration and calls nobody.
func Open(cfg Config) (*KeyVault, error) {
	u, err := url.Parse(cfg.VaultURL)
	if cfg.VaultURL == "" || err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("AZURE_KEYVAULT_URL is no URL of a Key Vault: want one such as https://contoso.vault.azure.net") // somebody may have pasted a secret there
	}
	cfg.VaultURL = strings.TrimRight(cfg.VaultURL, "/")
	if cfg.timeout == 0 {
		cfg.timeout = secrets.CallTimeout
	}
	if cfg.transport == nil {
		cfg.transport = &http.Client{}
	}
	options := azcore.ClientOptions{
		Transport: bounded{cfg.transport},
		Retry:     policy.RetryOptions{MaxRetries: -1}, // the run waits with more patience
	}
	options.Cloud.ActiveDirectoryAuthorityHost = cfg.authority
	login, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: cfg.local,
	})
	if err != nil {
		return nil, fmt.Errorf("read Azure's settings (AZURE_…): %w", err)
	}
	client, err := azsecrets.NewClient(cfg.VaultURL, login, &azsecrets.ClientOptions{
		ClientOptions: options, DisableChallengeResourceVerification: cfg.local,
	})
	if err != nil {
		return nil, fmt.Errorf("read Azure's settings (AZURE_…): %w", err)
	}
	return &KeyVault{cfg: cfg, client: client}, nil
}

// bounded ends an answer that is too long for a secret.
type bounded struct{ next policy.Transporter }

// Do implements [policy.Transporter].
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	resp, err := b.next.Do(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// Where implements [secrets.Backend]. The name is [secrets.FlatName]: Key Vault knows
// letters, digits and dashes, and no case.
func (k *KeyVault) Where(ref secrets.Ref) (secrets.Place, error) {
	ref, err := secrets.ParseRef(string(ref))
	if err != nil {
		return secrets.Place{}, err
	}
	place := secrets.Place{Backend: secrets.BackendAzure, Name: "Azure Key Vault", Server: k.cfg.VaultURL, Path: secrets.FlatName(ref)}
	if n := len(place.Path); n > maxName {
		return secrets.Place{}, secrets.TooLong(ref, place, "secret", n, maxName)
	}
	return place, nil
}

// HowToStore implements [secrets.Backend].
func (k *KeyVault) HowToStore(ref secrets.Ref) string {
	return fmt.Sprintf("store it with: az keyvault secret set --vault-name %s --name %s --encoding utf-8 --file FILE",
		k.name(), secrets.FlatName(ref))
}

// name is the vault's, as Azure's tool wants it.
func (k *KeyVault) name() string {
	host := strings.TrimPrefix(k.cfg.VaultURL, "https://")
	name, _, _ := strings.Cut(host, ".")
	return name
}

// Resolve implements [secrets.Resolver].
func (k *KeyVault) Resolve(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
	value, _, err := k.read(ctx, ref)
	return value, err
}

// Stat implements [secrets.Backend]. Created and Updated are those of the current version.
func (k *KeyVault) Stat(ctx context.Context, ref secrets.Ref) (secrets.Info, error) {
	value, info, err := k.read(ctx, ref)
	value.Wipe()
	return info, err
}

// Close implements [secrets.Backend].
func (*KeyVault) Close() error { return nil }

func (k *KeyVault) read(ctx context.Context, ref secrets.Ref) (secrets.Value, secrets.Info, error) {
	place, err := k.Where(ref)
	if err != nil {
		return secrets.Value{}, secrets.Info{}, err
	}
	q := question{k: k, ref: ref, place: place, parent: ctx}
	ctx, cancel := context.WithTimeout(ctx, k.cfg.timeout)
	defer cancel()
	found, err := k.get(ctx, place.Path)
	if err != nil {
		return secrets.Value{}, secrets.Info{}, q.explain(err)
	}
	if found.Value == nil {
		return secrets.Value{}, secrets.Info{}, q.fail(secrets.Unusable, "has no value", k.HowToStore(ref), nil)
	}
	var info secrets.Info
	if found.ID != nil {
		info.Version = found.ID.Version()
	}
	if a := found.Attributes; a != nil {
		info.Created, info.Updated = at(a.Created), at(a.Updated)
	}
	value, err := secrets.Found(ref, place, []byte(*found.Value))
	return value, info, err
}

// get reads the newest version. The SDK panics at a challenge that no Key Vault sends,
// and a wrong URL is no reason to end the process.
func (k *KeyVault) get(ctx context.Context, name string) (found azsecrets.GetSecretResponse, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its challenge cannot be understood: %v", r)
		}
	}()
	return k.client.GetSecret(ctx, name, "", nil)
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
