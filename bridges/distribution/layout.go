package outrigger

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// Where distribution's paths lie. Keys are paths without the leading slash; which store holds them follows from the
// path alone, as in the table of Outrigger's own registry, so that either serves what the other wrote:
//
//	docker/registry/v2/repositories/**                      meta store: links, and the small state of uploads
//	docker/registry/v2/repositories/**/_uploads/<id>/data   an upload of the blob store until it is moved to its blob
//	everything else                                         blob store
const repositoriesRoot = "docker/registry/v2/repositories"

const (
	maxKeyBytes       = 1024
	maxComponentBytes = 255
)

var (
	uploadDataPattern = regexp.MustCompile(`^docker/registry/v2/repositories/.+/_uploads/[^/]+/data$`)
	uploadDirPattern  = regexp.MustCompile(`^docker/registry/v2/repositories/.+/_uploads/[^/]+$`)
	blobDataPattern   = regexp.MustCompile(`^docker/registry/v2/blobs/(sha256/[0-9a-f]{2}/[0-9a-f]{64}|sha512/[0-9a-f]{2}/[0-9a-f]{128})/data$`)
	tagLinkPattern    = regexp.MustCompile(`/_manifests/tags/[^/]+/current/link$`)
)

// keyOf gives a path's key; the root's is empty. distribution has checked the characters already.
func keyOf(path string) (string, error) {
	if path == "/" {
		return "", nil
	}
	key := strings.TrimPrefix(path, "/")
	if len(key) > maxKeyBytes {
		return "", storagedriver.InvalidPathError{Path: path}
	}
	for component := range strings.SplitSeq(key, "/") {
		if component == "" || component == "." || component == ".." || len(component) > maxComponentBytes {
			return "", storagedriver.InvalidPathError{Path: path}
		}
	}
	return key, nil
}

// isUploadData says whether the key names the bytes of an upload that distribution has under way. They are readable
// while they are still an upload, and a move to their blob is the upload's commit.
func isUploadData(key string) bool { return uploadDataPattern.MatchString(key) }

// isUploadDir says whether the key is the folder of such an upload.
func isUploadDir(key string) bool { return uploadDirPattern.MatchString(key) }

// isMeta says whether the meta store holds the key.
func isMeta(key string) bool {
	return strings.HasPrefix(key, repositoriesRoot+"/") && !isUploadData(key)
}

// isLink says whether Outrigger's own registry derives keys from this one.
func isLink(key string) bool { return isMeta(key) && strings.HasSuffix(key, "/link") }

// isTagLink says whether the key is a link that changes: all others always hold what their name says.
func isTagLink(key string) bool { return isMeta(key) && tagLinkPattern.MatchString(key) }

// below says whether key lies below the folder; the root's name is empty.
func below(key, folder string) bool {
	return folder == "" || strings.HasPrefix(key, folder+"/")
}

// holdsMeta says whether something below the folder may lie in the meta store, holdsBlobs likewise.
func holdsMeta(folder string) bool {
	return folder == repositoriesRoot || below(folder, repositoriesRoot) || below(repositoriesRoot, folder)
}

func holdsBlobs(folder string) bool {
	return folder != repositoriesRoot && !below(folder, repositoriesRoot)
}

// prefixOf is what every key below the folder begins with.
func prefixOf(folder string) string {
	if folder == "" {
		return ""
	}
	return folder + "/"
}

// uploadID names the upload whose bytes will be the key's: 64 of [0-9a-f] [blob.append.22].
func uploadID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// digestOf gives the digest that a blob's key promises; empty: none.
func digestOf(key string) string {
	match := blobDataPattern.FindStringSubmatch(key)
	if match == nil {
		return ""
	}
	algorithm, rest, _ := strings.Cut(match[1], "/")
	return algorithm + ":" + rest[3:]
}

// uploadDirOf gives the folder of the upload that a small file belongs to.
func uploadDirOf(key string) (string, bool) {
	at := strings.LastIndex(key, "/_uploads/")
	if at < 0 {
		return "", false
	}
	id, _, _ := strings.Cut(key[at+len("/_uploads/"):], "/")
	return key[:at+len("/_uploads/")] + id, true
}
