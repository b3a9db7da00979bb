// A blob store without memory: which blobs there are, who holds them, and whether their client has sealed them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "engine/blob_store.hpp"

namespace onced::engine {

class FakeBlobStore final : public BlobStore {
 public:
  // What a test sets --------------------------------------------------------------------------------------------------
  std::uint64_t count_max = 1000;
  std::set<BlobId> unsealed;                // examine() finds them so
  std::optional<Error> create_fails;

  // What a test looks at ----------------------------------------------------------------------------------------------
  struct Blob {
    std::uint64_t bytes = 0;
    std::uint64_t charged = 0;
    std::uint32_t holds = 1;
    std::optional<std::uint64_t> used;      // as it was examined
  };
  std::map<BlobId, Blob> blobs;

  Result<BlobId> create(std::uint64_t bytes) override {
    if (create_fails) return *create_fails;
    if (blobs.size() >= count_max) return Error{ErrorCode::limit_reached, "too many blobs"};
    const BlobId id{++last_};
    blobs[id] = Blob{.bytes = bytes, .charged = bytes, .used = {}};
    return id;
  }
  Result<void> examine(BlobId blob, std::uint64_t used) override {
    if (unsealed.contains(blob)) return Error{ErrorCode::malformed, "the blob is not sealed"};
    Blob& examined = blobs.at(blob);
    ONCED_ASSERT(used <= examined.bytes && !examined.used);
    examined.charged = used;
    examined.used = used;
    return {};
  }
  void hold(BlobId blob) override { ++blobs.at(blob).holds; }
  void release(BlobId blob) override {
    Blob& released = blobs.at(blob);
    if (--released.holds == 0) blobs.erase(blob);
  }
  std::uint64_t size(BlobId blob) const override {
    const auto found = blobs.find(blob);
    return found == blobs.end() ? 0 : found->second.bytes;
  }
  Usage usage() const override {
    Usage usage{.count = blobs.size(), .count_max = count_max};
    for (const auto& [id, blob] : blobs) usage.charged_bytes += blob.charged;
    return usage;
  }

 private:
  std::uint64_t last_ = 16;
};

}  // namespace onced::engine
