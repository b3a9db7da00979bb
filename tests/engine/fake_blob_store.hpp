// A blob store without memory: which blobs there are, who holds them, and whether their client has sealed them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "engine/blob_store.hpp"

namespace onced::engine {

class FakeBlobStore final : public BlobStore {
 public:
  // What a test sets --------------------------------------------------------------------------------------------------
  std::uint64_t count_max = 1000;
  std::set<BlobId> unsealed;                // examine() finds them so
  std::optional<Error> create_fails;
  bool slow_close = false;                  // what is released counts as closing until the test clears `closing`
  std::vector<std::uint64_t> closing;       // their bytes
  std::set<BlobId> files;                   // what is a file, not memory

  // What a test looks at ----------------------------------------------------------------------------------------------
  struct Blob {
    std::uint64_t bytes = 0;
    std::uint32_t holds = 1;
    bool examined = false;
  };
  std::map<BlobId, Blob> blobs;

  Result<BlobId> create(std::uint64_t bytes) override {
    if (create_fails) return *create_fails;
    if (usage().count >= count_max) return Error{ErrorCode::limit_reached, "too many blobs"};
    const BlobId id{++last_};
    blobs[id] = Blob{.bytes = bytes};
    return id;
  }
  Result<void> examine(BlobId blob) override {
    if (unsealed.contains(blob)) return Error{ErrorCode::malformed, "the blob is not sealed"};
    ONCED_ASSERT(!std::exchange(blobs.at(blob).examined, true));
    return {};
  }
  void hold(BlobId blob) override { ++blobs.at(blob).holds; }
  void release(BlobId blob) override {
    Blob& released = blobs.at(blob);
    if (--released.holds > 0) return;
    if (slow_close) closing.push_back(charged(blob));
    blobs.erase(blob);
    files.erase(blob);
  }
  std::uint64_t size(BlobId blob) const override {
    const auto found = blobs.find(blob);
    return found == blobs.end() ? 0 : found->second.bytes;
  }
  std::uint64_t charged(BlobId blob) const override { return files.contains(blob) ? 0 : size(blob); }
  bool is_file(BlobId blob) const override { return files.contains(blob); }
  Usage usage() const override {
    Usage usage{.count = blobs.size() + closing.size(), .closing_count = closing.size(), .count_max = count_max};
    for (const std::uint64_t bytes : closing) usage.closing_bytes += bytes;
    usage.charged_bytes = usage.closing_bytes;
    for (const auto& [id, blob] : blobs) usage.charged_bytes += charged(id);
    usage.file_count = files.size();
    return usage;
  }

 private:
  std::uint64_t last_ = 16;
};

}  // namespace onced::engine
