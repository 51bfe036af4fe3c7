package secrets_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/identitymesh/okta-connector/secrets"
)

func ExampleTableStore() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	table := &memory{rows: map[string][]byte{}} // in the product: the mesh store
	store := secrets.NewTableStore(table, secrets.OpenKeys(secrets.KeyFile(filepath.Join(dir, "state", "key.json"))))

	ref, err := secrets.ParseRef("secret://okta/contoso/apitoken")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Set(ctx, ref, []byte("the token\n")); err != nil {
		fmt.Println(err)
		return
	}
	token, err := store.Resolve(ctx, ref)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer token.Wipe()
	fmt.Println("printed:", token)
	fmt.Println("revealed:", token.Reveal())
	// Output:
	// printed: [secret]
	// revealed: the token
}
