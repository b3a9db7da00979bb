// What the engine needs of the tier that holds large parts: memory of its own for each, sealed, shared by descriptor.
// daemon/memory/ implements it over memfds.
//
//   create() -> reserved: a client fills it -> examine() finds it sealed -> records hold it -> the last hold is released
//
// Ownership: counted. create() gives the caller one hold; a record that names a blob has one of its own (RecordStore
//            takes it in place() and releases it when the record is retired and nobody pins it any more).
//            After the last release() the memory lives on only as long as clients map it.
// Threads:   the strand; none blocks (closing happens elsewhere: it takes 125 ms for 1 GiB).
// Trust:     a client may still write to a blob until examine() has found it sealed, and may stall inside a write():
//            nothing here does more to such a blob than to look (F_GET_SEALS, fstat).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <onced/protocol/result.hpp>

namespace onced::engine {

// Never 0; never given again within a daemon's life.
enum class BlobId : std::uint64_t {};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Zeroed memory of this size, its size sealed. Whole pages of it are charged from here to its end. Errors: out_of_memory,
  // limit_reached (descriptors, table) with the limit and its setting. The budget is the engine's to decide.
  virtual Result<BlobId> create(std::uint64_t bytes) = 0;
  // Whether it can be published: write-sealed, with the size that it was made with. Errors: malformed, saying which
  // seal is missing. With success nobody can change a byte any more. It stays charged with its whole size: a sealed
  // blob can still grow into its holes, by fallocate() or by reading them.
  virtual Result<void> examine(BlobId blob) = 0;

  virtual void hold(BlobId blob) = 0;
  virtual void release(BlobId blob) = 0;

  // Bytes it was made with; 0 when there is no such blob.
  virtual std::uint64_t size(BlobId blob) const = 0;
  // Bytes it is charged with; 0 when there is no such blob.
  virtual std::uint64_t charged(BlobId blob) const = 0;

  // Whether it is a file that clients map in place of memory: charged with nothing, and not sealed.
  virtual bool is_file(BlobId blob) const {
    static_cast<void>(blob);
    return false;
  }

  struct Usage {
    std::uint64_t charged_bytes = 0;  // of all blobs: reserved, held by live records, by retired records, closing
    std::uint64_t count = 0;          // of the same: each is a descriptor
    std::uint64_t closing_bytes = 0;  // of those: nobody holds them any more, the kernel has not yet taken them back
    std::uint64_t closing_count = 0;
    std::uint64_t count_max = 0;      // by descriptors and the table
    std::uint64_t file_count = 0;     // of `count`: files, and the bytes of these
    std::uint64_t file_bytes = 0;
  };
  virtual Usage usage() const = 0;
};

}  // namespace onced::engine
