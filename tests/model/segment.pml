/* The protocol of SHM.md ("Looking up", "Unlinking") as a model: one writer, two readers, one slot, two pieces of memory.
 *
 * A piece of memory holds 0 when it is wiped, else the number of the key and version whose bytes it has; the readers want
 * key 1, the writer also stores key 2 there. What must never happen: bytes that change, or turn out to be another's, while
 * a reader that found them relies on its pin.
 *
 * Every step is atomic and steps interleave freely: this is sequential consistency, which the seq_cst operations give to
 * the four accesses that matter (pin store, second slot load; slot store, pin scan). The plain accesses to the bytes are
 * ordered by them; ThreadSanitizer looks at that in tests/stress/.
 *
 * Reader 0 claims its pins by plain stores (LineUse::exclusive_fenced): what it stores waits in its store buffer, from which it
 * goes to memory in order and at any time, at the latest when the writer issues the reader barrier. Reader 1 claims by
 * compare-and-swap, which leaves nothing in a buffer.
 *
 * -DNO_SECOND_LOAD, -DNO_PIN_SCAN, -DNO_BARRIER and -DLATE_BARRIER (after the scan in place of before it) each break one step;
 * spin must then find a counter-example (check does it).
 */
#define READERS 2
#define PIECES 2
#define FREE 255

byte slot = FREE;          /* the piece that is found, or FREE; the tag is the same for all keys here */
byte content[PIECES];      /* 0: wiped; (key << 4) + version */
bool pinned[READERS * PIECES];  /* reader r pins piece p */
bool used[PIECES];         /* allocated: live or retired */

#define KEY(bytes) ((bytes) >> 4)

/* Pin stores of reader 0 that nobody else sees yet. */
chan buffer = [2] of { byte, bool };

#define STORE_PIN(piece, value)                                             \
  if                                                                        \
  :: me == 0 -> buffer!piece, value                                         \
  :: else -> pinned[me * PIECES + (piece)] = value                          \
  fi

/* The processor writes the oldest store to memory. */
proctype Drain() {
  byte piece;
  bool value;
end:
  do
  :: atomic { buffer?piece, value -> pinned[piece] = value; piece = 0; value = false }
  od
}

/* Every running reader makes all its stores visible at one point between two of its steps. */
inline barrier() {
  atomic {
    do
    :: buffer?late, set -> pinned[late] = set
    :: empty(buffer) -> break
    od;
    late = 0; set = false
  }
}

proctype Reader(byte me) {
  byte seen, again, bytes, lookups = 0;
  do
  :: lookups < 2 ->
     lookups++;
     seen = slot;                                   /* first load */
     if
     :: seen == FREE -> skip                        /* a miss */
     :: else ->
        STORE_PIN(seen, true);                      /* the pin */
#ifdef NO_SECOND_LOAD
        again = seen;
#else
        again = slot;                               /* second load */
#endif
        if
        :: again != seen -> skip                    /* changed: a retry is the next look-up */
        :: else ->
           bytes = content[seen];
           /* What passed the second load is a whole record, also when the piece has been in use again since. */
           assert(bytes != 0);
           if
           :: KEY(bytes) == 1 ->                    /* the key is ours: a hit. Read it, twice, with time between. */
              assert(content[seen] == bytes);
              assert(content[seen] == bytes)
           :: else -> skip                          /* another key with the same tag */
           fi
        fi;
        STORE_PIN(seen, false);                     /* release */
        seen = 0; again = 0; bytes = 0
     fi
  :: else -> break
  od
}

/* Wipes and frees every retired piece that a scan, made after the slot was stored, finds without a pin. The scan reads one
 * pin at a time, as the daemon does, after one barrier for all. */
inline reclaim() {
#if !defined(NO_BARRIER) && !defined(LATE_BARRIER)
  barrier();
#endif
  piece = 0;
  do
  :: piece < PIECES ->
     if
     :: used[piece] && slot != piece ->
        free = true;
#ifndef NO_PIN_SCAN
        reader = 0;
        do
        :: reader < READERS ->
           if
           :: pinned[reader * PIECES + piece] -> free = false
           :: else -> skip
           fi;
           reader++
        :: else -> break
        od;
        reader = 0;
#ifdef LATE_BARRIER
        barrier();
#endif
#endif
        if
        :: free -> content[piece] = 0; used[piece] = false
        :: else -> skip
        fi
     :: else -> skip
     fi;
     piece++
  :: else -> break
  od;
  piece = 0
}

proctype Writer() {
  byte version = 0, piece = 0, reader = 0, target, late = 0;
  bool free, set = false;
  do
  :: version < 5 ->
     version++;
     reclaim();
     /* Any free piece, or none while all are pinned. */
     if
     :: !used[0] -> target = 0
     :: !used[1] -> target = 1
     :: used[0] && used[1] -> target = FREE
     fi;
     if
     :: target != FREE ->
        used[target] = true;
        if                                          /* any key; the tag does not tell them apart */
        :: content[target] = (1 << 4) + version
        :: content[target] = (2 << 4) + version
        fi;
        slot = target                               /* place, or replace in one store: the old one is retired */
     :: else -> slot = FREE                         /* unlink */
     fi;
     target = 0;
     if
     :: slot = FREE                                 /* sometimes unlink at once */
     :: skip
     fi
  :: else -> break
  od
}

init {
  atomic {
    run Reader(0);
    run Reader(1);
    run Writer();
    run Drain()
  }
}
