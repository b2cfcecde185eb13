/** Types of the Signalpost client; docs/client.md explains it. */

/** What goes wrong. Codes are the service's (docs/protocol.md), or `closed`, `lost`,
 * `token-failed`. What the service would not understand is `malformed` before it is sent, and its
 * `message` is a sentence: "a room's name has 1 to 128 characters". */
export class SignalpostError extends Error {
  readonly code: string;
  /** Seconds. */
  readonly retryAfter?: number;
}

export interface ClientOptions {
  /** Where the service's WebSocket is; by default beside this module. http(s) or ws(s). */
  url?: string | URL;
  /** A join token from `POST /v1/tokens`, or what fetches one: it is asked each time the client
   * connects, and has five seconds. */
  token?: string | (() => string | Promise<string>);
  /** What the others are shown. */
  name?: string;
}

export interface Tracks {
  audio?: MediaStreamTrack | null;
  video?: MediaStreamTrack | null;
}

export interface MediaOptions {
  tracks?: Tracks;
  /** `relay` hides this side's addresses from the other. */
  iceTransportPolicy?: RTCIceTransportPolicy;
  retry?: RetryOptions;
}

/** How a path that is lost is sought again; what is left out stays as it is here. */
export interface RetryOptions {
  /** For as long it may heal by itself: 3000. */
  disconnectedMs?: number;
  /** Then the waits between tries: from this (4000), each half as long again, */
  firstMs?: number;
  /** up to this (15000); at least three quarters of each, at random. */
  mostMs?: number;
  /** How many tries are ICE restarts: 2. From then on each is a new connection. */
  restarts?: number;
  /** When a link ends whose peer has gone, or a call's that never had a path: 60000. */
  giveUpMs?: number;
}

export type Role = "host" | "member" | "observer";

export interface Neighbour {
  readonly peer: string;
  readonly user: string;
  readonly name?: string;
  readonly role: Role;
  /** Whether this side is the polite one towards that peer. */
  readonly polite: boolean;
  readonly metadata?: unknown;
}

export interface TextDetail {
  readonly from: string;
  readonly text: string;
  readonly id?: string | number;
}

export interface SignalDetail {
  readonly from: string;
  readonly data: unknown;
}

/** An EventTarget whose events have a `detail` of a known type. */
declare class Emitter<Events> extends EventTarget {
  addEventListener<Type extends keyof Events & string>(
    type: Type,
    listener: (event: CustomEvent<Events[Type]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export interface ClientEvents {
  state: null;
  incoming: { readonly call: Call };
  text: TextDetail;
  signal: SignalDetail;
  "ice-servers": null;
  /** An error that answers no request. */
  error: SignalpostError;
  /** `error` is null when `close` was called. */
  closed: { readonly error: SignalpostError | null };
}

/** Make a client and wait for its welcome. Rejects with a SignalpostError when it is refused; while
 * the service cannot be reached it goes on trying. */
export function connect(options?: ClientOptions): Promise<Client>;

export class Client extends Emitter<ClientEvents> {
  constructor(options?: ClientOptions);
  /** Null until the first welcome; the same for as long as the client lives. */
  readonly peer: string | null;
  readonly user: string | null;
  readonly iceServers: RTCIceServer[];
  readonly state: "connecting" | "open" | "waiting" | "closed";
  readonly rooms: ReadonlyMap<string, Room>;
  /** Calls that go on, by id. */
  readonly calls: ReadonlyMap<string, Call>;
  open(): Promise<void>;
  close(): void;
  join(name: string, options?: { role?: "member" | "observer"; metadata?: unknown }): Promise<Room>;
  /** Call a user, on all of their devices. Throws a SignalpostError for what cannot be a user. */
  call(user: string, options?: MediaOptions): Call;
  /** Resolves when the peer's client has it. */
  text(to: string, text: string): Promise<void>;
  /** Any JSON; resolves when the peer's client has it. */
  signal(to: string, data: unknown): Promise<void>;
}

export interface RoomEvents {
  "peer-joined": Neighbour;
  "peer-left": Neighbour;
  /** It had joined before the service was restarted, and is here again. */
  "peer-returned": Neighbour;
  text: TextDetail;
  signal: SignalDetail;
  /** Host, lock, capacity or metadata. */
  changed: null;
  /** `reason` is `kicked`, `closed`, an error's code, or undefined when `leave` was called. */
  left: { readonly reason?: string };
}

export class Room extends Emitter<RoomEvents> {
  private constructor();
  readonly name: string;
  readonly role: Role;
  readonly locked: boolean;
  readonly capacity: number;
  readonly metadata: unknown;
  readonly closed: boolean;
  /** The others, by peer. */
  readonly peers: ReadonlyMap<string, Neighbour>;
  /** To everybody; resolves when the service has it. */
  text(text: string): Promise<void>;
  /** Any JSON to everybody, or `to` one: then it resolves when that peer's client has it. */
  signal(data: unknown, options?: { to?: string }): Promise<void>;
  /** As host. */
  update(changes: { locked?: boolean; capacity?: number; metadata?: unknown }): Promise<unknown>;
  /** As host. */
  kick(peer: string): Promise<unknown>;
  leave(): Promise<void>;
}

export interface MeshEvents {
  link: { readonly peer: string; readonly link: Link };
}

/** A link with every peer of a room. Make it as soon as the room is joined, then `start`. */
export class Mesh extends Emitter<MeshEvents> {
  constructor(client: Client, room: Room, options?: MediaOptions);
  readonly room: Room;
  readonly links: ReadonlyMap<string, Link>;
  start(): void;
  setTrack(kind: "audio" | "video", track: MediaStreamTrack | null): Promise<unknown>;
  say(value: unknown): void;
  close(): void;
}

export type Outcome =
  | "completed"
  | "rejected"
  | "busy"
  | "cancelled"
  | "missed"
  | "unreachable"
  | "failed"
  | "lost"
  | "answered-elsewhere"
  /** Two had called each other: the other of the two calls goes on. */
  | "merged";

export interface CallEvents {
  state: null;
  link: { readonly link: Link };
  ended: { readonly outcome: Outcome; readonly reason: string | null; readonly error: SignalpostError | null };
}

export class Call extends Emitter<CallEvents> {
  private constructor();
  readonly id: string;
  readonly direction: "outgoing" | "incoming";
  readonly user: string;
  readonly name: string | null;
  /** The device at the other end, once one has answered. */
  readonly peer: string | null;
  readonly state: "calling" | "ringing" | "incoming" | "accepted" | "connected" | "ended";
  readonly link: Link | null;
  readonly outcome: Outcome | null;
  readonly reason: string | null;
  readonly error: SignalpostError | null;
  accept(options?: MediaOptions): void;
  /** For all of the user's devices. A reason of more than 256 characters throws. */
  reject(reason?: string): void;
  /** For this device alone. */
  busy(): void;
  /** Ends the call in any state. */
  hangUp(reason?: string): void;
  setTrack(kind: "audio" | "video", track: MediaStreamTrack | null): Promise<void>;
}

export interface LinkEvents {
  state: null;
  track: { readonly track: MediaStreamTrack; readonly stream: MediaStream };
  /** What the other side's `say` was given. */
  message: unknown;
  closed: null;
}

export class Link extends Emitter<LinkEvents> {
  constructor(options: MediaOptions & {
    id: string;
    polite: boolean;
    /** Whether this side makes the first offer. */
    offers: boolean;
    iceServers: RTCIceServer[];
    send(data: LinkSignal): void;
    /** Whether the peer is still there: a link to it is not given up. */
    persistent?(): boolean;
    /** The one to begin with: 1. */
    generation?: number;
  });
  readonly id: string;
  /** The connection that counts now: when its path is lost for long, another takes its place. */
  readonly pc: RTCPeerConnection;
  /** How many connections this link has had. */
  readonly generation: number;
  /** What comes from the other side: one stream, whichever connection counts. */
  readonly stream: MediaStream;
  readonly state: "connecting" | "connected" | "interrupted" | "closed";
  /** Give it what the other side's `send` was given. */
  take(data: LinkSignal): Promise<void>;
  setTrack(kind: "audio" | "video", track: MediaStreamTrack | null): Promise<void>;
  /** JSON over the data channel; false when it is not open. Throws a SignalpostError for what is
   * no JSON, or larger than the other side takes. */
  say(value: unknown): boolean;
  setIceServers(iceServers: RTCIceServer[]): void;
  /** Restart ICE. */
  restart(): void;
  statistics(): Promise<Statistics>;
  /** For good. The other side is told, unless `tell` is false. */
  close(options?: { tell?: boolean }): void;
}

/** What links send each other through the service. */
export interface LinkSignal {
  readonly link?: string;
  /** Of the connection that this is about; 1 when it is left out. */
  readonly generation?: number;
  /** The link was closed for good. */
  readonly closed?: boolean;
  /** This generation is of no use: its offerer is to begin another. */
  readonly again?: number;
  readonly description?: RTCSessionDescriptionInit | null;
  readonly candidate?: RTCIceCandidateInit | null;
}

/** Rates are bits a second since the last call, `rtt` milliseconds, `loss` from 0 to 1; null is
 * unknown. */
export interface Statistics {
  readonly path: "direct" | "relayed" | "unknown";
  /** Towards the relay, where there is one: `udp`, `tcp` or `tls`. */
  readonly protocol: string | null;
  readonly localType: RTCIceCandidateType | null;
  readonly remoteType: RTCIceCandidateType | null;
  readonly rtt: number | null;
  readonly loss: number | null;
  readonly sendRate: number | null;
  readonly receiveRate: number | null;
  readonly framesDecoded: number;
  readonly framesPerSecond: number | null;
  readonly width: number | null;
  readonly height: number | null;
}

export function quality(statistics: Pick<Statistics, "path" | "rtt" | "loss">): "good" | "fair" | "poor" | "unknown";

export type Missing = "insecure" | "refused" | "absent" | "busy" | "failed";

/** As much of it as there is: true for any device, or a device's id. Never rejects. */
export function openMedia(wanted?: { audio?: boolean | string; video?: boolean | string }): Promise<{
  tracks: { audio: MediaStreamTrack | null; video: MediaStreamTrack | null };
  missing: { audio?: Missing; video?: Missing };
}>;

/** A track of the screen, null when the user would not. */
export function openScreen(): Promise<MediaStreamTrack | null>;

export interface Device {
  readonly id: string;
  readonly label: string;
}

export function devices(): Promise<{ audio: Device[]; video: Device[] }>;
