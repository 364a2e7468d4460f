package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/rules"

	handshakev1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/handshake/v1"
)

// Name is the driver's own, reverse DNS.
const Name = "io.outrigger.bolt"

// api is what the driver serves: outrigger.meta 1.0.
const (
	apiMeta  = "outrigger.meta"
	apiMajor = 1
	apiMinor = 0
)

// identity answers the handshake: the same words for as long as the process lives [handshake.describe.01].
type identity struct {
	handshakev1.UnimplementedHandshakeServiceServer
	description *handshakev1.DescribeResponse
	contract    string
	log         *slog.Logger
}

func newIdentity(version string, store Store, log *slog.Logger) *identity {
	description := &handshakev1.DescribeResponse{
		Driver:  Name,
		Version: version,
		Apis: map[string]*handshakev1.ApiVersions{
			apiMeta: {Versions: []*handshakev1.ApiVersion{{Major: apiMajor, Minor: apiMinor}}},
		},
		Stores: []*handshakev1.Store{{
			Kind:         handshakev1.StoreKind_STORE_KIND_META,
			Id:           store.ID(),
			Capabilities: []string{"DURABLE"},
			Limits:       &handshakev1.Limits{MaxValueBytes: rules.ValueBytes},
			Outside:      store.Outside(),
		}},
		Notices: store.Notices(),
	}
	return &identity{description: description, contract: contractOf(description), log: log}
}

// contractOf hashes what a core rests on [call.contract.01]. JSON of the fields rather than the message's bytes, which no
// release of protobuf promises to make the same.
func contractOf(description *handshakev1.DescribeResponse) string {
	store := description.Stores[0]
	encoded, err := json.Marshal([]any{
		description.Driver, description.Version, apiMeta, apiMajor, apiMinor,
		store.Kind.String(), store.Id, store.Capabilities, store.Limits.MaxValueBytes, store.Outside,
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

func (i *identity) Version(context.Context, *handshakev1.VersionRequest) (*handshakev1.VersionResponse, error) {
	return &handshakev1.VersionResponse{Api: i.description.Apis}, nil
}

func (i *identity) Describe(_ context.Context, request *handshakev1.DescribeRequest) (*handshakev1.DescribeResponse, error) {
	i.log.Info("described to a core", "coreName", request.CoreName, "coreVersion", request.CoreVersion)
	return i.description, nil
}
