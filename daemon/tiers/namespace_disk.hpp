// The values of one namespace on disk: the engine's DiskTier over disk::Tier, with blobs as memfds.
//
//   put:   parts in frames as they are, blobs mapped; both stay until they are written
//   load:  on a reader's thread large parts are read into new memfds and sealed, or their files are opened (map_files); the engine makes room, and
//          has blobs made of them
//
// Ownership: the store and its threads, from open() to stop(). Between attach() and detach() it serves one engine: what was begun for another is
//            dropped when it ends.
// Threads:   the loop, but for what disk::Tier calls. `ring` is called by its threads when take() has something.
// Errors:    open() says why a directory cannot be used; afterwards what fails is an outcome.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <onced/protocol/result.hpp>

#include "disk/tier.hpp"
#include "engine/access.hpp"
#include "engine/disk_tier.hpp"
#include "engine/engine.hpp"
#include "memory/memfd_blob_store.hpp"
#include "tiers/mailbox.hpp"
#include "tiers/maintenance.hpp"

namespace onced::tiers {

struct DiskOptions {
  std::string directory;  // its parent is there
  std::uint64_t budget_bytes = std::uint64_t{1} << 30;
  bool map_files = false;  // clients map the files of large parts; an I/O error there kills them
  disk::Say say = [](const std::string&) {};  // from any thread
  // For tests: other files, and a slower clock.
  std::function<Result<std::unique_ptr<disk::FileSystem>>(const std::string&)> files = disk::open_posix_files;
  disk::TierOptions tier{};
};

// Files that a store of so many bytes may have open: its segments (DISK.md), and parts that are being read or written.
inline std::uint64_t disk_files_of(std::uint64_t budget_bytes) { return 72 + budget_bytes / (std::uint64_t{28} << 20); }

// Whether that directory is a store, or what a first start that was cut off has left of one. Touches nothing in it.
bool may_be_store(const std::string& directory);

class NamespaceDisk final : public engine::DiskTier {
 public:
  // Waits for the disk: a second for a million values.
  static Result<std::unique_ptr<NamespaceDisk>> open(DiskOptions options, std::function<void()> ring);
  ~NamespaceDisk() override;
  NamespaceDisk(const NamespaceDisk&) = delete;
  NamespaceDisk& operator=(const NamespaceDisk&) = delete;

  // For an engine that borrows this, with these blobs, until detach().
  // What it is to know first.
  engine::SessionsFound attach(memory::MemfdBlobStore& blobs);
  void detach();
  // Drops everything and ends all sessions, for whoever comes next: until that is on stable storage nothing is loaded. `told`, by any thread: true, it is; false, it
  // could not be written. Then it is written as soon as the disk works again, before anything else is.
  void clear(std::function<void(bool durable)> told);
  // Who could use the namespace when this was last written to; nothing: nobody does, for there was no store. Everybody, where that is lost.
  std::optional<engine::AccessRule> audience_before() const;
  // Who may from now on: on the disk behind a clear() of before, and before anything that is put later.
  void keep_audience(const engine::AccessRule& rule);

  const std::string& directory() const { return directory_; }

  // Of what has ended the oldest, at most so many; and whether there is more, for which nobody rings.
  std::vector<engine::Event> take(std::size_t max);
  bool has_more() const { return box_->has_more(); }
  // Writes and syncs what is queued, for so long at most. Nothing is asked of it afterwards.
  void stop(std::chrono::milliseconds patience);

  // engine::DiskTier
  void put(engine::DiskTicket ticket, const engine::DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts, bool durable) override;
  void drop(engine::DiskTicket ticket, std::string_view key) override;
  void drop_label(engine::DiskTicket ticket, Label kind, std::string_view name) override;
  bool may_have(std::string_view key) const override;
  bool load(engine::DiskTicket ticket, std::string_view key) override;
  void set_merit(std::string_view key, float merit) override;
  bool keeps_sessions() const override { return true; }
  void keep_session(engine::DiskTicket ticket, const engine::DiskSession& session) override;
  void use_session(std::uint64_t number) override;
  void end_session(engine::DiskTicket ticket, std::uint64_t number) override;
  void drop_in_session(engine::DiskTicket ticket, std::uint64_t number) override;
  Usage usage() const override;
  protocol::DiskReport report(protocol::DiskAction action) override;

 private:
  // A part that was read into memory of its own, or its file.
  struct ReadPart {
    std::size_t number = 0;
    std::uint64_t bytes = 0;
    memory::FileDescriptor memory;
    bool is_file = false;
  };
  struct Letter {
    std::uint64_t generation = 0;
    std::variant<engine::DiskWritten, engine::DiskLoaded> event;
    disk::ValueFacts facts{};  // of what was loaded: a load may take long, and what is left of its time is said when it has come
    std::vector<ReadPart> read{};
  };
  using Box = Mailbox<Letter>;
  class Loading;
  class Brought;
  class MappedBlob;

  static void discard(memory::MemfdBlobStore& blobs, std::vector<ReadPart>& read);

  NamespaceDisk(std::unique_ptr<disk::Tier> tier, std::string directory, bool map_files, std::function<void()> ring);
  disk::Tier::Written tell(engine::DiskTicket ticket);
  std::optional<disk::PartInput> input_of(const protocol::Part& part, const std::shared_ptr<const std::vector<protocol::Part>>& parts,
                                          std::vector<std::pair<std::uint64_t, std::shared_ptr<const MappedBlob>>>& mapped) const;

  std::shared_ptr<Box> box_;
  std::unique_ptr<disk::Tier> tier_;
  Maintenance maintenance_;
  std::string directory_;
  bool map_files_;
  memory::MemfdBlobStore* blobs_ = nullptr;
  std::uint64_t generation_ = 0;
  bool has_sessions_ = true;         // of before, for whoever attaches
  std::uint64_t numbers_from_ = 0;   // of sessions: above all that were kept
  // What clear() has asked for.
  struct Clearing {
    std::atomic<int> under_way{0};   // release by who has written, acquire by is_cleared(): what comes then is asked for afterwards
    std::atomic<bool> owed{false};   // it could not be written; before under_way is
  };
  bool is_cleared();
  std::shared_ptr<Clearing> clearing_ = std::make_shared<Clearing>();
};

}  // namespace onced::tiers
