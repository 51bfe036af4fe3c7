package oktasim

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// ParseKeys reads the public keys of an [App]: a PEM public key, a JWK, or a set of JWKs
// ({"keys": […]}). As in Okta, a private key has no place here and is refused.
func ParseKeys(text []byte) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		var shape struct {
			Keys *json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(text, &shape); err != nil {
			return set, fmt.Errorf("oktasim: the keys are no valid JSON: %w", err)
		}
		if shape.Keys == nil {
			set.Keys = make([]jose.JSONWebKey, 1)
			if set.Keys[0].UnmarshalJSON(text) != nil {
				return set, errors.New("oktasim: the key is no valid JWK")
			}
		} else if json.Unmarshal(text, &set) != nil {
			return set, errors.New("oktasim: the keys are no valid set of JWKs")
		}
	} else {
		block, _ := pem.Decode(text)
		if block == nil {
			return set, errors.New("oktasim: the key is neither PEM nor JWK")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return set, errPrivateKey
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return set, errors.New("oktasim: the PEM text holds no public key (-----BEGIN PUBLIC KEY-----)")
		}
		set.Keys = []jose.JSONWebKey{{Key: key}}
	}
	if len(set.Keys) == 0 {
		return set, errors.New("oktasim: the set holds no key")
	}
	for i, k := range set.Keys {
		switch key := k.Key.(type) {
		case *rsa.PublicKey:
			if key.N.BitLen() < 2048 {
				return set, fmt.Errorf("oktasim: RSA key %d has %d bits; Okta takes 2048 or more", i+1, key.N.BitLen())
			}
		case *ecdsa.PublicKey:
		case *rsa.PrivateKey, *ecdsa.PrivateKey:
			return set, errPrivateKey
		default:
			return set, fmt.Errorf("oktasim: key %d is neither an RSA nor an EC key", i+1)
		}
	}
	return set, nil
}

var errPrivateKey = errors.New("oktasim: that is the private key, which belongs to the client alone; give the public one")
