// Blobs as memfds, and files that take the place of one: the engine's BlobStore.
//
//   create()   memfd, sized, F_SEAL_SHRINK | F_SEAL_GROW: nobody changes its size. The client gets the descriptor, writes,
//              and adds F_SEAL_WRITE | F_SEAL_SEAL itself: only it can know that no mapping and no write of its own is left,
//              and a daemon that sealed would wait for a write() that the client stalls.
//   examine()  looks at the seals and at the size. From then on nobody can change a byte, by whatever descriptor.
//   adopt_file()  a file of the disk tier's: nobody but the daemon's user can write it, and the daemon only unlinks it. No memory of
//              ours: the page cache has its bytes, and gives them back when it likes.
//
// Ownership: the descriptors, until the last hold is released; shared with answers that are still to be sent. Who has one
//            last gives it to `close_later`, for closing 1 GiB takes a tenth of a second; it counts as closing until
//            then. Clients' mappings live on.
// Threads:   the strand; `closed` of close_later from any. Errors: blob_store.hpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/blob_store.hpp"
#include "memory/blob_table.hpp"
#include "memory/file_descriptor.hpp"

namespace onced::memory {

struct BlobOptions {
  std::size_t count_max = 1024;                        // descriptors that blobs may use
  // Closes it, then calls `closed`. Null: closed at once. Outlives every descriptor that is shared.
  std::function<void(FileDescriptor, std::function<void()> closed)> close_later{};
};

class MemfdBlobStore final : public engine::BlobStore {
 public:
  MemfdBlobStore(BlobTable table, BlobOptions options);
  MemfdBlobStore(const MemfdBlobStore&) = delete;
  MemfdBlobStore& operator=(const MemfdBlobStore&) = delete;
  ~MemfdBlobStore() override;

  Result<engine::BlobId> create(std::uint64_t bytes) override;
  Result<void> examine(engine::BlobId blob) override;
  void hold(engine::BlobId blob) override;
  void release(engine::BlobId blob) override;
  std::uint64_t size(engine::BlobId blob) const override;
  std::uint64_t charged(engine::BlobId blob) const override;
  bool is_file(engine::BlobId blob) const override;
  Usage usage() const override;

  // A blob of memory that the daemon has filled and sealed itself, of this size; one hold is the caller's. Errors: as create(); but what is being closed
  // takes no place from one whose descriptor is open already. On error it is discarded.
  Result<engine::BlobId> adopt(FileDescriptor sealed, std::uint64_t bytes);
  // The same of a file that was opened only to be read.
  Result<engine::BlobId> adopt_file(FileDescriptor file, std::uint64_t bytes);

  // Closes what was to be adopted and is not: as what is released, by who closes (a gigabyte takes a tenth of a second), and counted as closing
  // until then.
  void discard(FileDescriptor descriptor, std::uint64_t bytes, bool file);

  // Another number of descriptors; fewer than there are ends none.
  void set_count_max(std::size_t count_max) { options_.count_max = count_max; }

  // A live record names it, or none any more: tells readers. For SegmentStore.
  void enlist(engine::BlobId blob);
  void delist(engine::BlobId blob);

  // To be passed to clients: it stays open while somebody has this, also when the blob has been released meanwhile. Null when
  // there is no such blob.
  std::shared_ptr<const FileDescriptor> descriptor(engine::BlobId blob) const;

 private:
  struct Blob {
    std::shared_ptr<const FileDescriptor> descriptor;
    std::uint64_t bytes = 0;
    std::uint32_t holds = 1;
    bool listed = false;
    bool file = false;
    std::uint64_t charged() const;
  };
  // Released, and not yet closed. Relaxed: numbers of their own, nothing is ordered by them. Added to by release(), taken
  // from by who closes; shared, because a thread that closes may outlive the store.
  struct Closing {
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> count{0};
  };
  Blob& at(engine::BlobId blob);
  std::optional<Error> no_place(std::uint64_t count) const;  // beside so many
  engine::BlobId add(FileDescriptor descriptor, std::uint64_t bytes, bool file);
  Result<engine::BlobId> adopt(FileDescriptor descriptor, std::uint64_t bytes, bool file);
  std::shared_ptr<const FileDescriptor> shared(FileDescriptor descriptor, std::uint64_t charged) const;

  BlobTable table_;
  BlobOptions options_;
  std::unordered_map<std::uint64_t, Blob> blobs_;
  std::vector<std::uint32_t> free_;  // places in the table
  std::uint32_t next_ = 0;           // places from here on were never used
  std::uint64_t serial_ = 0;
  std::uint64_t charged_bytes_ = 0;  // without what is closing
  std::uint64_t file_count_ = 0;     // likewise
  std::uint64_t file_bytes_ = 0;
  std::shared_ptr<Closing> closing_ = std::make_shared<Closing>();
};

}  // namespace onced::memory
