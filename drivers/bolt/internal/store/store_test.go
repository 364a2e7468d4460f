package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/fault"
)

const plenty = 4 << 20

func optionsAt(path string) Options {
	return Options{Path: path, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
}

func newFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meta.db")
	if _, _, err := Init(t.Context(), optionsAt(path)); err != nil {
		t.Fatal(err)
	}
	return path
}

func openAt(t *testing.T, options Options) *Store {
	t.Helper()
	store, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func newStore(t *testing.T) *Store {
	t.Helper()
	return openAt(t, optionsAt(newFile(t)))
}

func put(key, value string) Operation {
	return Operation{Key: key, Action: Put, Value: []byte(value)}
}

func mustWrite(t *testing.T, store *Store, operations ...Operation) []string {
	t.Helper()
	etags, err := store.Write(t.Context(), operations, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return etags
}

func get(t *testing.T, store *Store, key string) *Item {
	t.Helper()
	items, err := store.Get(t.Context(), []string{key}, plenty)
	if err != nil {
		t.Fatal(err)
	}
	return items[0]
}

func wantReason(t *testing.T, err error, reason fault.Reason) {
	t.Helper()
	if !fault.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}

func wantSentence(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Fatalf("got %v, want something with %q", err, part)
	}
}

func TestInitOnceAndForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	first, created, err := Init(t.Context(), optionsAt(path))
	if err != nil || !created || !isUUID(first) {
		t.Fatal(first, created, err)
	}
	second, created, err := Init(t.Context(), optionsAt(path))
	if err != nil || created || second != first {
		t.Fatal(second, created, err)
	}
	if store := openAt(t, optionsAt(path)); store.ID() != first {
		t.Fatalf("%s became %s", first, store.ID())
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Fatal("something beside the file:", left, err)
	}
}

func TestManyInitsAtOnceMakeOneStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	ids := make(chan string, 8)
	var all sync.WaitGroup
	for range cap(ids) {
		all.Go(func() {
			options := optionsAt(path)
			options.LockWait = 10 * time.Second
			id, _, err := Init(t.Context(), options)
			if err != nil {
				t.Error(err)
			}
			ids <- id
		})
	}
	all.Wait()
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Fatalf("%s and %s", first, id)
		}
	}
}

// A volume that was not mounted never becomes a new, empty store [process.init.01].
func TestOpenRefusesWhatIsNotAStore(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(name string, content []byte) {
		if err := os.WriteFile(at(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("empty", nil)
	write("text", []byte(strings.Repeat("no bbolt file ", 1000)))
	foreign, err := bbolt.Open(at("foreign"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(foreign.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("RepoMetadata"))
		return err
	}), foreign.Close())
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := bbolt.Open(at("nothing"), 0o600, nil)
	if err = errors.Join(err, nothing.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(newFile(t))
	if err != nil {
		t.Fatal(err)
	}
	write("cut", whole[:len(whole)/2])
	damaged := slices.Clone(whole)
	for page := range 2 {
		damaged[page*os.Getpagesize()+40] ^= 0xff
	}
	write("damaged", damaged)
	other := strings.Replace(string(whole), "format1", "format9", 1)
	write("format", []byte(other))

	for name, sentence := range map[string]string{
		"absent":  "NOT_INITIALISED: there is no file",
		"empty":   "NOT_INITIALISED: the file is empty",
		"nothing": "NOT_INITIALISED",
		"text":    "is not a bbolt file",
		"foreign": "belongs to another program",
		"cut":     "put back a copy",
		"damaged": "put back a copy",
		"format":  `has format "9"`,
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(at(name))
			_, err := Open(t.Context(), optionsAt(at(name)))
			wantSentence(t, err, sentence)
			after, _ := os.ReadFile(at(name))
			if string(before) != string(after) {
				t.Fatal("it was changed")
			}
		})
	}
	_, err = Open(t.Context(), optionsAt(folder))
	wantSentence(t, err, "not a regular file")
	_, _, err = Init(t.Context(), optionsAt(at("foreign")))
	wantSentence(t, err, "belongs to another program")
}

// Open itself reads only the first pages: that the last ones are missing must not be met by a Get some day.
func TestAFileThatLostItsEnd(t *testing.T) {
	path := newFile(t)
	store := openAt(t, optionsAt(path))
	for i := range 20 {
		mustWrite(t, store, put(fmt.Sprintf("k%02d", i), strings.Repeat("x", 10_000)))
	}
	size := int64(0)
	if err := store.db.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	_ = store.Close()
	if err := os.Truncate(path, size-1); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), optionsAt(path))
	wantSentence(t, err, "was cut off")
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	openAt(t, optionsAt(path))
}

func TestDataWithoutAnIDIsAdopted(t *testing.T) {
	path := newFile(t)
	store := openAt(t, optionsAt(path))
	mustWrite(t, store, put("a", "1"))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketOutrigger).Delete(keyID) }), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	sealed := optionsAt(path)
	sealed.ReadOnly = true
	_, err = Open(t.Context(), sealed)
	wantSentence(t, err, "no store id")
	adopted := openAt(t, optionsAt(path))
	if !isUUID(adopted.ID()) || adopted.ID() == store.ID() || string(get(t, adopted, "a").Value) != "1" {
		t.Fatal(adopted.ID())
	}
}

func TestOneProcessAtATime(t *testing.T) {
	path := newFile(t)
	first := openAt(t, optionsAt(path))
	_, err := Open(t.Context(), optionsAt(path))
	wantSentence(t, err, "another process has")

	patient := optionsAt(path)
	patient.LockWait = time.Minute
	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err = Open(stopped, patient)
	wantSentence(t, err, "told to stop")

	opened := make(chan error, 1)
	go func() {
		second, err := Open(t.Context(), patient)
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatal("the file was not locked", err)
	case <-time.After(3 * lockEvery):
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyFilesAreShared(t *testing.T) {
	path := newFile(t)
	store := openAt(t, optionsAt(path))
	mustWrite(t, store, put("a", "1"))
	_ = store.Close()
	sealed := optionsAt(path)
	sealed.ReadOnly = true
	first, second := openAt(t, sealed), openAt(t, sealed)
	for _, store := range []*Store{first, second} {
		if string(get(t, store, "a").Value) != "1" {
			t.Fatal("a is not 1")
		}
	}
}

func TestConditions(t *testing.T) {
	store := newStore(t)
	etags := mustWrite(t, store, put("there", "1"), put("other", "2"))
	there := etags[0]
	with := func(operation Operation, require Requirement, etag string) Operation {
		operation.Require, operation.Etag = require, etag
		return operation
	}
	holds := []Operation{
		with(put("absent", "x"), IfAbsent, ""),
		with(Operation{Key: "there", Action: Check}, IfEtag, there),
		with(Operation{Key: "other", Action: Check}, IfPresent, ""),
		with(Operation{Key: "nowhere", Action: Check}, IfAbsent, ""),
		{Key: "never", Action: Delete},
	}
	for name, fails := range map[string]Operation{
		"absent, there":   with(put("there", "x"), IfAbsent, ""),
		"present, absent": with(put("nothing", "x"), IfPresent, ""),
		"etag, absent":    with(put("nothing", "x"), IfEtag, there),
		"etag, another":   with(put("other", "x"), IfEtag, there),
		"etag, empty":     with(put("nothing", "x"), IfEtag, ""),
		"check":           with(Operation{Key: "nothing", Action: Check}, IfPresent, ""),
		"delete":          with(Operation{Key: "nothing", Action: Delete}, IfPresent, ""),
	} {
		t.Run(name, func(t *testing.T) {
			operations := slices.DeleteFunc(slices.Clone(holds), func(o Operation) bool { return o.Key == fails.Key })
			later := fails
			later.Key = "nothing-later"
			_, err := store.Write(t.Context(), append(operations, fails, later), time.Time{})
			wantReason(t, err, fault.ConditionFailed)
			var known *fault.Error
			if errors.As(err, &known); known.Metadata["index"] != strconv.Itoa(len(operations)) {
				t.Fatal(known.Metadata)
			}
			if get(t, store, "absent") != nil || string(get(t, store, "there").Value) != "1" {
				t.Fatal("half a Write")
			}
		})
	}
	answer := mustWrite(t, store, holds...)
	if answer[0] == "" || answer[1] != there || answer[2] != etags[1] || answer[3] != "" || answer[4] != "" {
		t.Fatal(answer)
	}
	if item := get(t, store, "absent"); item.Etag != answer[0] || string(item.Value) != "x" {
		t.Fatal(item)
	}
}

// [meta.etag.01], also after deletes, restarts, a file put back from a copy, and compaction.
func TestEtagsNeverComeAgain(t *testing.T) {
	path := newFile(t)
	seen := map[string]bool{}
	keep := func(store *Store) {
		for range 5 {
			etag := mustWrite(t, store, put("key", "same"))[0]
			if seen[etag] {
				t.Fatalf("%s twice", etag)
			}
			seen[etag] = true
			mustWrite(t, store, Operation{Key: "key", Action: Delete})
		}
	}
	store := openAt(t, optionsAt(path))
	keep(store)
	_ = store.Close()
	copied, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again := openAt(t, optionsAt(path))
	keep(again)
	_ = again.Close()
	if err := os.WriteFile(path, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	restored := openAt(t, optionsAt(path))
	keep(restored)
	_ = restored.Close()

	source, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	smaller := path + ".small"
	target, err := bbolt.Open(smaller, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(bbolt.Compact(target, source, 0), source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	compacted := openAt(t, optionsAt(smaller))
	keep(compacted)
	// The life differs anyway: the sequence has to go on as well, also through compaction.
	highest := uint64(0)
	for etag := range seen {
		sequence, _, _ := strings.Cut(etag, "-")
		number, err := strconv.ParseUint(sequence, 16, 64)
		if err != nil {
			t.Fatal(etag, err)
		}
		highest = max(highest, number)
	}
	if highest != 15 { // 5 before the copy was made, 5 on the copy, 5 on the compacted one
		t.Fatalf("the highest sequence is %d", highest)
	}
}

func TestOutsideGrowsOnlyWhenAnotherProgramWrote(t *testing.T) {
	path := newFile(t)
	want := uint64(0)
	look := func() {
		t.Helper()
		store := openAt(t, optionsAt(path))
		if store.Outside() != want {
			t.Fatalf("outside is %d, not %d", store.Outside(), want)
		}
		mustWrite(t, store, put("a", "1"))
		_ = store.Close()
	}
	look()
	look()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete([]byte("a")) }), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	want = 1
	sealed := optionsAt(path)
	sealed.ReadOnly = true
	if store := openAt(t, sealed); store.Outside() != 1 {
		t.Fatal("a sealed store did not notice")
	} else {
		_ = store.Close()
	}
	look()
	look()
}

func TestListAgainstAModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("OUTRIGGER_TEST_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("OUTRIGGER_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	store := newStore(t)
	model := map[string]string{}
	alphabet := []string{"a", "A", "-", ".", "/", "0", "_", "aa", "z"}
	word := func(most int) (text string) {
		for range random.IntN(most) {
			text += alphabet[random.IntN(len(alphabet))]
		}
		return text
	}
	for round := range 300 {
		key := "k" + word(6)
		if random.IntN(3) == 0 {
			mustWrite(t, store, Operation{Key: key, Action: Delete})
			delete(model, key)
		} else {
			value := strconv.Itoa(round)
			mustWrite(t, store, put(key, value))
			model[key] = value
		}
		prefix, after, limit := word(4), word(5), 1+random.IntN(6)
		if random.IntN(2) == 0 {
			prefix = "k" + prefix
		}
		if random.IntN(2) == 0 {
			after = "k" + after
		}
		var want []string
		for _, key := range slices.Sorted(maps.Keys(model)) {
			if strings.HasPrefix(key, prefix) && key > after {
				want = append(want, key)
			}
		}
		items, more, err := store.List(t.Context(), prefix, after, limit, plenty)
		if err != nil {
			t.Fatal(err)
		}
		if more != (len(want) > limit) {
			t.Fatalf("prefix %q after %q: more is %t with %d of %d", prefix, after, more, len(items), len(want))
		}
		var got []string
		for _, item := range items {
			got = append(got, item.Key)
			if string(item.Value) != model[item.Key] {
				t.Fatalf("%s is %s", item.Key, item.Value)
			}
		}
		if !slices.Equal(got, want[:min(limit, len(want))]) {
			t.Fatalf("prefix %q after %q limit %d: %q, not %q", prefix, after, limit, got, want)
		}
		under := 0
		for key := range model {
			if strings.HasPrefix(key, prefix) {
				under++
			}
		}
		if count, err := store.Count(t.Context(), prefix); err != nil || count != uint64(under) {
			t.Fatalf("count of %q: %d, not %d: %v", prefix, count, under, err)
		}
	}
}

func TestAnswersStopBeforeTheirBudget(t *testing.T) {
	store := newStore(t)
	var keys []string
	for i := range 10 {
		keys = append(keys, fmt.Sprintf("k%d", i))
		mustWrite(t, store, put(keys[i], strings.Repeat("x", 1000)))
	}
	items, err := store.Get(t.Context(), keys, 3500)
	if err != nil || len(items) != 3 {
		t.Fatal(len(items), err)
	}
	if items, err = store.Get(t.Context(), keys, 10); err != nil || len(items) != 1 {
		t.Fatal("at least one:", len(items), err)
	}
	page, more, err := store.List(t.Context(), "", "", 1000, 3500)
	if err != nil || !more || len(page) != 3 {
		t.Fatal(len(page), more, err)
	}
	if page, more, err = store.List(t.Context(), "", "k8", 1000, 10); err != nil || more || len(page) != 1 {
		t.Fatal(len(page), more, err)
	}
}

func TestRacingWritesShareSyncsAndOneWins(t *testing.T) {
	store := newStore(t)
	const racers = 200
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for racer := range racers {
		all.Go(func() {
			claim := put("race", strconv.Itoa(racer))
			claim.Require = IfAbsent
			_, err := store.Write(t.Context(), []Operation{claim, put(fmt.Sprintf("own/%d", racer), "x")}, time.Time{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !fault.Is(err, fault.ConditionFailed):
				t.Error(err)
			}
		})
	}
	for racer := range racers {
		all.Go(func() { mustWrite(t, store, put(fmt.Sprintf("free/%d", racer), "x")) })
	}
	all.Wait()
	if count, _ := store.Count(t.Context(), "own/"); won != 1 || count != 1 {
		t.Fatalf("%d won, %d are there", won, count)
	}
	if count, _ := store.Count(t.Context(), "free/"); count != racers {
		t.Fatalf("%d of %d", count, racers)
	}
	figures := store.Figures()
	if figures.Writes != racers+1 || figures.Groups >= figures.Writes {
		t.Fatalf("%d Writes in %d transactions", figures.Writes, figures.Groups)
	}
}

// [meta.get.03]
func TestAGetSeesNoHalfWrite(t *testing.T) {
	store := newStore(t)
	keys := []string{"a", "m", "z"}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for round := 0; ctx.Err() == nil; round++ {
			value := strconv.Itoa(round)
			if _, err := store.Write(t.Context(), []Operation{put("z", value), put("a", value), put("m", value)}, time.Time{}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2000 {
		items, err := store.Get(t.Context(), keys, plenty)
		if err != nil {
			t.Fatal(err)
		}
		if items[0] != nil && (string(items[0].Value) != string(items[1].Value) || string(items[1].Value) != string(items[2].Value)) {
			t.Fatalf("%s %s %s", items[0].Value, items[1].Value, items[2].Value)
		}
	}
	stop()
	writing.Wait()
}

// The clock passes not-after while the group is being applied: the late one is left out, the others go on as if it had
// never been there [meta.write.08].
func TestALateWriteOfAGroupIsLeftOut(t *testing.T) {
	store := newStore(t)
	start := time.Now()
	looks := 0
	store.now = func() time.Time {
		if looks++; looks > 1 {
			return start.Add(time.Minute)
		}
		return start
	}
	late := &pending{ctx: t.Context(), operations: []Operation{put("a", "late")}, notAfter: start.Add(time.Second)}
	after := put("a", "in time")
	after.Require = IfAbsent
	rests := &pending{ctx: t.Context(), operations: []Operation{after}}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	nobody := &pending{ctx: gone, operations: []Operation{put("b", "nobody waits")}}
	if err := store.commit([]*pending{late, rests, nobody}); err != nil {
		t.Fatal(err)
	}
	wantReason(t, late.err, fault.TooLate)
	if rests.err != nil || string(get(t, store, "a").Value) != "in time" {
		t.Fatal(rests.err, get(t, store, "a"))
	}
	if !errors.Is(nobody.err, context.Canceled) || get(t, store, "b") != nil {
		t.Fatal(nobody.err)
	}
	_, err := store.Write(t.Context(), []Operation{put("c", "x")}, start)
	wantReason(t, err, fault.TooLate)
	if get(t, store, "c") != nil {
		t.Fatal("c is there")
	}
}

func TestDamagedValuesAreNotGivenOut(t *testing.T) {
	path := newFile(t)
	store := openAt(t, optionsAt(path))
	mustWrite(t, store, put("sound", "sound"), put("torn", "needle-in-the-file"))
	_ = store.Close()
	bytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.ReplaceAll(string(bytes), "needle-in-the-file", "needle-in-the-fiLe")
	if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	store = openAt(t, optionsAt(path))
	_, err = store.Get(t.Context(), []string{"torn"}, plenty)
	wantReason(t, err, fault.StoredCorrupt)
	_, _, err = store.List(t.Context(), "", "", 10, plenty)
	wantReason(t, err, fault.StoredCorrupt)
	if string(get(t, store, "sound").Value) != "sound" {
		t.Fatal("sound is lost too")
	}
	// It can be put right by writing it anew.
	mustWrite(t, store, put("torn", "new"))
	if string(get(t, store, "torn").Value) != "new" {
		t.Fatal("torn stayed")
	}
}

// A file cut off behind the driver's back is an error, not the process's end by SIGBUS.
func TestAFileCutOffWhileItIsOpen(t *testing.T) {
	path := newFile(t)
	store := openAt(t, optionsAt(path))
	for i := range 50 {
		mustWrite(t, store, put(fmt.Sprintf("k%02d", i), strings.Repeat("x", 10_000)))
	}
	if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	_, _, err := store.List(t.Context(), "", "", 1000, plenty)
	wantReason(t, err, fault.StoredCorrupt)
	_, err = store.Write(t.Context(), []Operation{put("k01", "x")}, time.Time{})
	wantReason(t, err, fault.StoredCorrupt)
	if err := store.Check(t.Context()); err == nil {
		t.Fatal("it says it is well")
	}
}

func TestAFileThatNoPathLeadsTo(t *testing.T) {
	path := newFile(t)
	store := openAt(t, optionsAt(path))
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := store.Write(t.Context(), []Operation{put("a", "x")}, time.Time{})
	wantReason(t, err, fault.BackendDown)
	wantReason(t, store.Check(t.Context()), fault.BackendDown)
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, store, put("a", "x"))
}

func TestAfterAFailedCommitTheFileIsSettledFirst(t *testing.T) {
	store := newStore(t)
	mustWrite(t, store, put("a", "1"))
	store.unsettled = true
	mustWrite(t, store, put("b", "2"))
	if store.unsettled || string(get(t, store, "a").Value) != "1" || string(get(t, store, "b").Value) != "2" {
		t.Fatal("not settled")
	}
	if err := store.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestCloseAnswersWhatItAccepted(t *testing.T) {
	path := newFile(t)
	store := openAt(t, optionsAt(path))
	var all sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	for i := range 100 {
		all.Go(func() {
			key := fmt.Sprintf("k%d", i)
			_, err := store.Write(t.Context(), []Operation{put(key, "x")}, time.Time{})
			if err == nil {
				mu.Lock()
				acknowledged[key] = true
				mu.Unlock()
			} else if !fault.Is(err, fault.Draining) {
				t.Error(err)
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	_, err := store.Get(t.Context(), []string{"k1"}, plenty)
	wantReason(t, err, fault.Draining)
	again := openAt(t, optionsAt(path))
	for key := range acknowledged {
		if get(t, again, key) == nil {
			t.Fatalf("%s was acknowledged and is lost", key)
		}
	}
}
