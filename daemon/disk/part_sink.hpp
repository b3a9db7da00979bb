// Where the bytes of a part go that is read from a file: in pieces, each of which is still in the processor's cache when it is checked and
// passed on.
//
// Ownership: whoever loads owns it, for as long as the load takes. Threads: the one that loads. Errors: no memory, which ends the load.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace onced::disk {

class PieceSink {
 public:
  virtual ~PieceSink() = default;
  // Memory for the next so many bytes; empty: there is none.
  virtual std::span<std::byte> room(std::size_t bytes) = 0;
  // They are in it. False: there is no memory to keep them.
  virtual bool filled(std::span<const std::byte> piece) = 0;
};

// Those of a whole value.
class PartSink : public PieceSink {
 public:
  // A part of so many bytes comes; possibly once more, when its value was moved meanwhile: what came of it before is void then. False: there is
  // no memory for it.
  virtual bool begin(std::size_t part, std::uint64_t bytes) = 0;
  // Whether it wants files themselves in place of their bytes. Where there are none to be had (File::release_descriptor()) it gets the bytes.
  virtual bool takes_files() const { return false; }
  // In place of begin() and the bytes: a descriptor that only reads, of a file that nobody ever changes. It is the sink's.
  virtual void take_file(std::size_t part, std::uint64_t bytes, int descriptor) {
    static_cast<void>(part), static_cast<void>(bytes), static_cast<void>(descriptor);
  }
};

// Memory that is there already.
class MemorySink final : public PieceSink {
 public:
  explicit MemorySink(std::span<std::byte> memory) : left_(memory) {}
  std::span<std::byte> room(std::size_t bytes) override { return left_.first(std::min(bytes, left_.size())); }
  bool filled(std::span<const std::byte> piece) override {
    left_ = left_.subspan(piece.size());
    return true;
  }

 private:
  std::span<std::byte> left_;
};

// The thread's own, and warm: what is read into it is passed on from the processor's cache.
inline std::span<std::byte> thread_buffer(std::size_t bytes) {
  thread_local std::vector<std::byte> buffer;
  if (buffer.size() < bytes) buffer.resize(bytes);
  return std::span(buffer).first(bytes);
}

// Bytes that are only to be checked.
class Nowhere final : public PieceSink {
 public:
  std::span<std::byte> room(std::size_t bytes) override { return thread_buffer(bytes); }
  bool filled(std::span<const std::byte>) override { return true; }
};

}  // namespace onced::disk
