"""What the tests of the page share."""

#: A name that would run if it were taken for markup.
HOSTILE = '<img src=x onerror=window.hacked=1>'

#: Where the canvas of a pane is not empty, as bits, row by row, in base64.
COVERED = '''canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const bits = new Uint8Array(Math.ceil(data.length / 32));
    for (let i = 0; i < data.length / 4; i++) if (data[4 * i + 3]) bits[i >> 3] |= 128 >> (i & 7);
    return btoa(bits.reduce((text, byte) => text + String.fromCharCode(byte), ''));
}'''
