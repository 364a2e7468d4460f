package outrigger

import (
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	config, err := ParseConfig(map[string]any{"blobs": "dns:///driver:7000", "resume": "1m", "replaybuffer": "64MiB", "tls": map[any]any{"servername": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if config.Meta != config.Blobs || config.Resume != time.Minute || config.ReplayBuffer != 64<<20 || config.TLS.ServerName != "x" {
		t.Fatalf("got %+v", config)
	}
	if plain, err := ParseConfig(map[string]any{"blobs": "unix:///x"}); err != nil || plain.TLS != nil || plain.ReplayBuffer != defaultReplayBuffer {
		t.Fatalf("got %+v, %v", plain, err)
	}
	for _, one := range []struct {
		values map[string]any
		says   string
	}{
		{map[string]any{}, "storage.outrigger.blobs is missing"},
		{map[string]any{"blobs": "localhost"}, `blobs: "localhost" is not an address`},
		{map[string]any{"blobs": 7}, "7 is not a text"},
		{map[string]any{"blobs": "unix:///x", "meta": "/x"}, `meta: "/x" is not an address`},
		{map[string]any{"blobs": "unix:///x", "rootdirectory": "/x"}, "rootdirectory is unknown: there are blobs, blobsid,"},
		{map[string]any{"blobs": "unix:///x", "resume": 30}, "30 is not a time"},
		{map[string]any{"blobs": "unix:///x", "replaybuffer": "1MiB"}, "not a size of at least 8 MiB"},
		{map[string]any{"blobs": "unix:///x", "metaid": "x"}, "not a store id"},
		{map[string]any{"blobs": "unix:///x", "tls": nil}, "tls is empty: write {}"},
		{map[string]any{"blobs": "unix:///x", "tls": true}, "tls: true is not a section"},
		{map[string]any{"blobs": "unix:///x", "tls": map[string]any{"cert": "x"}}, "cert and key belong together"},
		{map[string]any{"blobs": "unix:///x", "tls": map[string]any{"ca": "/nowhere/ca.pem"}}, "tls.ca: open /nowhere/ca.pem"},
		{map[string]any{"blobs": "unix:///x", "tls": map[string]any{"insecure": true}}, "tls.insecure is unknown"},
	} {
		if _, err := ParseConfig(one.values); err == nil || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%v: %v", one.values, err)
		}
	}
}

func TestLayout(t *testing.T) {
	upload := "docker/registry/v2/repositories/a/b/_uploads/1/data"
	for key, meta := range map[string]bool{
		upload: false,
		"docker/registry/v2/repositories/a/b/_uploads/1/startedat":                true,
		"docker/registry/v2/repositories/a/b/_uploads/1/hashstates/sha256/12":     true,
		"docker/registry/v2/repositories/a/_manifests/tags/data/current/link":     true,
		"docker/registry/v2/blobs/sha256/aa/" + strings.Repeat("a", 64) + "/data": false,
		"docker/registry/v2/repositories":                                         false,
		"scheduler-state.json":                                                    false,
	} {
		if isMeta(key) != meta {
			t.Errorf("isMeta(%s) is %v", key, !meta)
		}
	}
	if !isUploadData(upload) || !isUploadDir("docker/registry/v2/repositories/a/b/_uploads/1") || isUploadDir(upload) {
		t.Error("an upload is not known")
	}
	if digest := digestOf("docker/registry/v2/blobs/sha256/aa/" + strings.Repeat("a", 64) + "/data"); digest != "sha256:"+strings.Repeat("a", 64) {
		t.Errorf("the digest is %s", digest)
	}
	if len(uploadID(upload)) != 64 {
		t.Error("an upload id has another length")
	}
}
