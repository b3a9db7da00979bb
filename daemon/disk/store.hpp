// The values of a namespace on disk: what DISK.md says, behind operations that wait for the disk.
//
// Ownership: the directory, from open() to the end.
// Threads:   write(), sync(), recover() and compact() by one thread, the writer; everything else from any thread at any time. No
//            lock is held while the disk works. Time comes in as the store's (clock.hpp).
// Order:     operations count in the order in which they are given to write(). A load that begins after write() returned sees
//            them; one that runs meanwhile may bring the value from before.
// Limits:    the directory's bytes stay within the budget; a value that would take more than a quarter of it is refused. Memory: 80 bytes
//            for each of at most entries_max values, 56 for each of an eighth as many labels that were dropped, and a segment at times. Open files:
//            one for each segment (9/8 of as many as fit into the budget, or one more), and those that are just read or written.
// Errors:    what fails to be written degrades the store (write() refuses, loads go on) until recover() succeeds. Damage is a value
//            that is absent, and a line to `say`.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <onced/protocol/result.hpp>

#include "disk/aside.hpp"
#include "disk/audience_file.hpp"
#include "disk/directory.hpp"
#include "disk/files.hpp"
#include "disk/key_index.hpp"
#include "disk/log.hpp"
#include "disk/part_files.hpp"
#include "disk/part_sink.hpp"
#include "disk/session_file.hpp"
#include "disk/value.hpp"

namespace onced::disk {

struct StoreOptions {
  std::uint64_t budget_bytes = std::uint64_t{1} << 30;  // at least 1 MiB
  std::uint64_t segment_bytes = 0;                       // 0: a 64th of the budget, between 1 and 32 MiB
  std::size_t entries_max = 8'000'000;
  std::size_t owed_max = 65'536;  // tombstones that a degraded store remembers one by one
  BodyOptions body{};
  std::function<void(std::span<std::byte>)> random{};  // for a new store's seed, sessions' keys, and salts
  // The session that a key belongs to; 0: none.
  std::function<std::uint64_t(std::string_view key)> session_of = [](std::string_view) { return std::uint64_t{0}; };
  // How a key is called in what is said.
  std::function<std::string(std::string_view key)> name_of = [](std::string_view key) { return std::string(key); };
  Say say = [](const std::string&) {};
};

class Store {
 public:
  // A value has come; it is stored when this is written.
  struct Put { ValueInput value; };
  // The key has none any more.
  struct Drop { std::string key; };
  // No value that carries this label, of those that were given before, is there any more.
  struct DropLabel { Label label; };
  // The same for all.
  struct Clear {};
  // There is this session from now on, or it is so from now on.
  struct KeepSession { SessionFacts facts; };
  // It was used; no promise of its own.
  struct UseSession { std::uint64_t number = 0; std::uint64_t used_ms = 0; };
  // It has ended, and nothing of it can be read any more; 0: all of them.
  struct EndSession { std::uint64_t number = 0; };
  // Who may read what is here, for the owner's next start: on stable storage behind all that was asked for before, and before anything later is.
  struct KeepAudience { std::string audience; };
  using Operation = std::variant<Put, Drop, DropLabel, Clear, KeepSession, UseSession, EndSession, KeepAudience>;
  static bool is_of_session(const Operation& operation);
  // What is not about values: it holds in memory while the store cannot write, and is written as soon as it can.
  static bool is_held(const Operation& operation) { return is_of_session(operation) || std::holds_alternative<KeepAudience>(operation); }

  enum class Outcome : std::uint8_t {
    done,     // written; stable where that was asked for. Of a value that has expired by now: nothing of it, nor of an older one, is there
    refused,  // too large, or of a session that is not there: an older value of the key is gone all the same
    failed,   // the store is degraded; whatever of it holds is in memory only (what is_held() is written as soon as it is not)
  };

  // `wall_ms`: the wall clock; now_ms() goes on from there, or from the latest time that the log knows.
  static Result<std::unique_ptr<Store>> open(std::unique_ptr<FileSystem> files, StoreOptions options, std::uint64_t wall_ms);
  // Does not sync: sync() first for an orderly end.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // The store's time when it was opened: never before what the log knows.
  std::uint64_t opened_ms() const { return opened_ms_; }

  // As one batch. Stable before it returns when `stable`, or when it contains anything but Put and UseSession, or a Put that is refused or has expired.
  std::vector<Outcome> write(std::span<const Operation> operations, bool stable, std::uint64_t now_ms);
  // What was written is stable with true.
  bool sync(std::uint64_t now_ms);
  bool has_unstable() const;  // the writer's

  bool degraded() const { return degraded_.load(std::memory_order_relaxed); }  // relaxed: a flag of its own
  std::string degraded_text() const;
  // Tries to leave the degraded state; true: it is left.
  bool recover(std::uint64_t now_ms);

  struct LoadedPart {
    std::string name;
    std::string type;
    std::uint64_t size = 0;
    bool in_sink = false;  // the sink has its bytes, or its file
    std::string bytes;     // otherwise here
  };
  struct Loaded {
    ValueFacts facts;
    std::vector<Label> labels;
    std::string attributes;
    std::vector<LoadedPart> parts;
  };
  // Whether a value is still what it was meant to be, asked before its parts are read. False: the load finds nothing, and it stays.
  using Accept = std::function<Result<bool>(const ValueFacts& facts, std::string_view attributes)>;
  // The bytes of parts from files go to the sink, if there is one. Nothing: there is no value, it has expired, it was damaged or is not accepted. Errors:
  // the disk cannot be read, the sink has no memory, or it cannot be said whether it is accepted.
  Result<std::optional<Loaded>> load(std::string_view key, std::uint64_t now_ms, PartSink* sink = nullptr, const Accept& accept = {});
  struct Summary {
    ValueFacts facts;
    std::string attributes;
  };
  // What load() would find, but for the parts.
  Result<std::optional<Summary>> look(std::string_view key, std::uint64_t now_ms);
  // Whether a load is worth trying. Never waits for the disk.
  bool may_have(std::string_view key) const;
  void set_merit(std::string_view key, float merit);
  Label label_of(std::string_view text) const;

  // Of before it was opened: whether there was a store at all, and the audience that was kept last (nothing: nobody knows).
  bool was_new() const { return was_new_; }
  const std::optional<std::string>& audience_before() const { return audience_.kept(); }
  // Those that are there. Never waits for the disk.
  std::vector<SessionFacts> sessions() const { return sessions_.all(); }
  // Every number that a session ever had is below.
  std::uint64_t session_numbers_below() const { return sessions_.numbers_below(); }

  struct Status {
    std::size_t values = 0;
    std::uint64_t live_bytes = 0;      // records and files of values
    std::uint64_t used_bytes = 0;      // of the whole directory
    std::uint64_t budget_bytes = 0;
    std::size_t segments = 0;
    std::uint64_t evicted = 0;
    std::uint64_t damaged = 0;         // found so far
    std::uint64_t aside_bytes = 0;     // of what was found damaged
    std::uint64_t older_bytes = 0;     // of stores of older formats
    std::size_t sessions = 0;
    bool degraded = false;
  };
  Status status() const;

  struct Verified {
    std::uint64_t values = 0;
    std::uint64_t damaged = 0;
    std::uint64_t bytes = 0;
    bool stopped = false;
  };
  // Reads everything that is live and checks it; what is damaged, or void by a label, is absent from then on. What is there from its beginning to its end is
  // looked at, wherever it is moved meanwhile; what comes or is replaced meanwhile may be. `progress` hears bytes done and bytes in all, as far as these are
  // known, and says whether to go on: also between the pieces in which all are found, before any is done. No lock is held while it is asked.
  Result<Verified> verify(std::uint64_t now_ms, const std::function<bool(std::uint64_t, std::uint64_t)>& progress);
  // Rewrites every segment without what is dead in it.
  Result<void> compact(std::uint64_t now_ms);
  // The same one by one. Ends the segment that is being written; returns the number of the last one, 0: there is none.
  Result<std::uint64_t> begin_compaction();
  // The oldest segment, if its number is not above `up_to`. Returns how many such are left then.
  Result<std::uint64_t> compact_oldest(std::uint64_t up_to, std::uint64_t now_ms);

 private:
  Store(std::unique_ptr<FileSystem> files, StoreOptions options, OpenDirectory directory);
  Result<void> open_log(std::uint64_t wall_ms);
  Result<void> open_parts();
  void keep_older_within_budget();

  struct Pending {  // added to the log, not yet readable
    Digest digest;
    IndexEntry entry;
    PartFiles files;
    std::optional<IndexEntry> moved_from{};  // of a copy: where it was
  };
  struct Unstable {  // in the index, and not on stable storage
    std::uint64_t sequence = 0;
    Digest digest;
    std::optional<IndexEntry> moved_from{};  // where it is on stable storage as well
  };
  Result<Outcome> apply(const Put& put, std::uint64_t now_ms);
  Result<Outcome> apply(const Drop& drop, std::uint64_t now_ms);
  Result<Outcome> apply(const DropLabel& drop, std::uint64_t now_ms);
  Result<Outcome> apply(const Clear& clear, std::uint64_t now_ms);
  Result<Outcome> apply(const KeepSession& keep, std::uint64_t now_ms);
  Result<Outcome> apply(const UseSession& use, std::uint64_t now_ms);
  Result<Outcome> apply(const EndSession& end, std::uint64_t now_ms);
  Result<Outcome> apply(const KeepAudience& keep, std::uint64_t now_ms);
  void hold_in_memory(const Operation& held);  // by a store that cannot write
  void erase_values_of(std::uint64_t session);
  // Where the log has the key; nothing when its session is not there.
  std::optional<Digest> place_of(std::string_view key) const;
  Result<void> add_fence(Label label);
  void fence(Label label, std::uint64_t sequence);
  Result<void> settle();                     // flush, then the index
  bool take_in(const Pending& added);        // into the index
  Result<void> sync_all(std::uint64_t now_ms);
  Result<Outcome> make_room(std::uint64_t bytes, std::uint64_t now_ms);
  bool has_too_long_a_log() const;           // whatever its bytes
  struct Live {
    Digest digest;
    IndexEntry entry;
  };
  std::vector<Live> live_in(const Segment& segment) const;
  Result<void> clean_oldest(std::uint64_t copy_bytes_max, std::uint64_t now_ms);
  Result<void> evict(const Digest& digest);
  std::uint64_t used_bytes() const;          // the writer's
  void erase(const Digest& digest);          // its files go with the next sync
  bool erase_if_same(const Digest& digest, const IndexEntry& entry);
  void erase_all();
  Result<void> remove_segments(std::size_t count);
  void fail(const Error& error);
  void forget_unstable();                    // by fail()
  void owe(const Digest& digest);
  void owe_fence(Label label);
  bool is_void(const std::vector<Label>& labels, std::uint64_t sequence) const;

  struct Read {
    std::vector<std::byte> record;
    std::vector<std::byte> opened;  // of a sealed one
    std::optional<SessionKey> key;  // its own
    BodyView body;
    IndexEntry entry;
    bool checked = false;           // its files are known to be right
    const SessionKey* part_key() const { return key ? &*key : nullptr; }
  };
  enum class Found : std::uint8_t { whole, gone, damaged };
  Result<bool> hand_over(std::uint64_t id, std::uint32_t number, std::size_t part, const PartView& view, bool checked, PartSink& sink) const;
  Result<void> fill_sink(const Read& read, std::size_t number, std::uint32_t file, PartSink& sink) const;
  Result<std::optional<std::string>> read_part(const Digest& digest, const Read& read, std::size_t number, std::uint32_t file, PartSink* sink, LoadedPart& part);
  Result<std::uint64_t> copy(const Live& one, Read& read);
  Result<Found> read_record(const Digest& digest, const IndexEntry& entry, Read& read) const;
  Result<bool> find_record(std::string_view key, const Digest& digest, std::uint64_t now_ms, Read& read);  // false: there is none that counts
  struct ToVerify {
    Digest digest;
    std::uint32_t segment = 0;  // where it was when it was found: they are read in this order
    std::uint32_t offset = 0;
    std::uint64_t bytes = 0;
  };
  std::optional<std::vector<ToVerify>> all_to_verify(std::uint64_t now_ms, const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const;  // nothing: to be stopped
  Result<void> verify(const Digest& digest, std::uint64_t now_ms, Read& read, Verified& verified);
  std::optional<std::uint64_t> find_entry(const Digest& digest, std::uint64_t now_ms, Read& read) const;  // bytes of its files; nothing: none that is usable
  void found_damaged(const Digest& digest, const IndexEntry& entry, std::string_view key, const std::string& what);  // no key: it cannot be read
  bool same(const Digest& digest, const IndexEntry& entry) const;
  void discard(const PartFiles& files);

  std::unique_ptr<FileSystem> files_;
  StoreOptions options_;
  std::unique_ptr<Lock> lock_;
  std::uint64_t seed_;
  Aside aside_;
  Log log_;
  PartFileStore parts_;
  SessionFile sessions_;
  AudienceFile audience_;
  bool was_new_;
  std::uint64_t opened_ms_ = 0;

  mutable std::mutex mutex_;  // of what follows, up to the next blank line
  KeyIndex index_;
  std::unordered_map<Label, std::uint64_t> fences_;  // by label: the sequence of the latest
  std::vector<PartFiles> garbage_;       // to be removed once what made them useless is stable
  std::uint64_t garbage_bytes_ = 0;
  std::uint64_t evicted_ = 0;
  std::uint64_t damaged_ = 0;
  std::string degraded_text_;

  std::vector<Pending> pending_;
  std::uint64_t pending_file_bytes_ = 0;  // of these: on the disk already, and not in the index before they are settled
  bool drops_in_batch_ = false;           // a put that only drops what its key had: the batch is to be stable
  std::vector<Unstable> unstable_;  // by sequence
  std::set<Digest> owed_;
  std::set<Label> owed_fences_;
  bool owe_everything_ = false;
  std::atomic<bool> degraded_{false};
  std::atomic<std::uint64_t> used_{0};  // relaxed: used_bytes() as the writer saw it last, for status()
};

}  // namespace onced::disk
