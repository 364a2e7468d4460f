package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A value as it lies in the file: version, etag, checksum, then the caller's bytes. bbolt has no checksum of its own on
// data pages, so a damaged one would be given back as if it were right.
const (
	recordVersion = 1
	versionAt     = 0
	etagAt        = 1
	sumAt         = etagAt + etagBytes
	valueAt       = sumAt + 4

	etagBytes = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// etag names one put of one key. The sequence is the bucket's high-water mark, committed with the put; the life is drawn
// anew by every process, so that a file that was put back from a copy does not repeat an etag either [meta.etag.01].
type etag struct {
	sequence uint64
	life     uint64
}

func (e etag) String() string { return fmt.Sprintf("%x-%016x", e.sequence, e.life) }

func encodeRecord(key string, tag etag, value []byte) []byte {
	record := make([]byte, valueAt, valueAt+len(value))
	record[versionAt] = recordVersion
	binary.BigEndian.PutUint64(record[etagAt:], tag.sequence)
	binary.BigEndian.PutUint64(record[etagAt+8:], tag.life)
	binary.BigEndian.PutUint32(record[sumAt:], checksum(key, record[:sumAt], value))
	return append(record, value...)
}

// decodeRecord gives the value as part of record: it lives as long as the transaction.
func decodeRecord(key string, record []byte) (etag, []byte, error) {
	if len(record) < valueAt {
		return etag{}, nil, fmt.Errorf("its record has %d bytes, at least %d are needed", len(record), valueAt)
	}
	if record[versionAt] != recordVersion {
		return etag{}, nil, fmt.Errorf("its record has version %d, known is %d", record[versionAt], recordVersion)
	}
	value := record[valueAt:]
	if binary.BigEndian.Uint32(record[sumAt:]) != checksum(key, record[:sumAt], value) {
		return etag{}, nil, errors.New("its checksum does not match")
	}
	tag := etag{
		sequence: binary.BigEndian.Uint64(record[etagAt:]),
		life:     binary.BigEndian.Uint64(record[etagAt+8:]),
	}
	return tag, value, nil
}

// The key is in it, so that a record that came under another key by damage is found too.
func checksum(key string, head, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(key))
	sum = crc32.Update(sum, castagnoli, head)
	return crc32.Update(sum, castagnoli, value)
}
